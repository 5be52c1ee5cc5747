"""The exact integer twin of a quantized network.

It computes what an integer runtime must: sums of products of codes, exact, then one float32
multiplication by input scale * weight scale / output scale, rounded half to even. It is the
reference for an artifact's codes; the float simulation is not, because it rounds at ties by the
accident of its sums. What has no weights (sums, products, means, activations) is computed in
float32 from the values of the codes; there a runtime rounds in another order and may differ by one
code at a tie.

Teacher-forced, every quantizer's codes are compared and then replaced by the artifact's own, so
that one layer's difference is not blamed on the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from edgewise.graph.network import module_of, operation
from edgewise.quant.exact import exact_sums
from edgewise.quant.fake import FakeQuantize, QuantizedLayer

CLIPS = {"relu": (0.0, None), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}


@dataclass(frozen=True)
class Twin:
    """Codes of every quantizer node, int16, and where they differ from the ones forced.

    codes: node name -> codes; off: node name -> absolute difference in codes, where forced.
    """

    codes: Mapping[str, Tensor]
    off: Mapping[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def run_twin(
    module: fx.GraphModule, images: Tensor, forced: Mapping[str, Tensor] | None = None
) -> Twin:
    """Run the twin on a batch; `forced` holds an artifact's codes by quantizer node name."""
    interpreter = _Interpreter(module, forced or {})
    interpreter.run(images)
    return Twin(interpreter.codes, interpreter.off)


@dataclass(frozen=True)
class _Accumulator:
    """Exact sums, and what one unit stands for, shaped to broadcast."""

    sums: Tensor
    step: Tensor

    def values(self) -> Tensor:
        """What the sums stand for, rounded once."""
        return (self.sums.double() * self.step.double()).float()

    def codes(self, quantizer: FakeQuantize) -> Tensor:
        """The sums in another quantizer's steps."""
        scaled = self.sums.float() * (self.step / quantizer.scale)
        codes = torch.round(scaled) + quantizer.zero_point
        return torch.clamp(codes, quantizer.kind.low, quantizer.kind.high)


class _Interpreter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, forced: Mapping[str, Tensor]) -> None:
        super().__init__(module)
        self.graph_module = module
        self.forced = forced
        self.codes: dict[str, Tensor] = {}
        self.off: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        target = module_of(self.graph_module, n)
        if isinstance(target, QuantizedLayer):
            sums = self._layer(n, target)
            return sums if self._is_requantized(n) else sums.values()
        if isinstance(target, FakeQuantize):
            return self._quantizer(n, target)
        source = self.env[n.all_input_nodes[0]] if n.all_input_nodes else None
        if isinstance(source, _Accumulator):
            return source  # the quantizer after this activation clips its codes
        return super().run_node(n)

    def _is_requantized(self, node: fx.Node) -> bool:
        """Whether all that reads a layer's sums are quantizers, directly or past a clip."""
        for user in node.users:
            clips = operation(self.graph_module, user) in CLIPS
            if clips and not self._is_requantized(user):
                return False
            if not clips and not isinstance(module_of(self.graph_module, user), FakeQuantize):
                return False
        return True

    def _layer(self, node: fx.Node, layer: QuantizedLayer) -> _Accumulator:
        # Values are codes times scale; dividing recovers the integers exactly.
        values = self.env[node.all_input_nodes[0]]
        sums = exact_sums(layer, torch.round(values / layer.source[0].scale))
        shape = [1] * sums.ndim
        shape[-1 if layer.form.kind == "linear" else 1] = -1
        return _Accumulator(sums, layer.step.view(shape))

    def _quantizer(self, node: fx.Node, quantizer: FakeQuantize) -> Tensor:
        producer = node.all_input_nodes[0]
        source = self.env[producer]
        if isinstance(source, _Accumulator):
            clips = []
            while (kind := operation(self.graph_module, producer)) in CLIPS:
                clips.append(clip_bounds(producer, kind))
                producer = producer.all_input_nodes[0]
            codes = torch.clamp(source.codes(quantizer), *code_bounds(quantizer, clips[::-1]))
        else:
            codes = quantizer.codes(source)
        if node.name in self.forced:
            theirs = self.forced[node.name].to(codes.dtype)
            self.off[node.name] = (theirs - codes).abs().to(torch.int16)
            codes = theirs
        self.codes[node.name] = codes.to(torch.int16)
        return quantizer.values(codes)


def clip_bounds(node: fx.Node, kind: str) -> tuple[float, float | None]:
    """The bounds of a clipping activation; None is no upper bound."""
    low, high = CLIPS[kind]
    given = [float(value) for value in node.args[1:3] if isinstance(value, (int, float))]
    if kind == "hardtanh" and len(given) == 2:
        return given[0], given[1]
    return low, high


def code_bounds(
    quantizer: FakeQuantize, clips: Sequence[tuple[float, float | None]]
) -> tuple[int, int]:
    """The lowest and the highest code after clips, which come one after the other."""
    low, high = quantizer.kind.low, quantizer.kind.high
    for least, most in clips:
        bounds = torch.tensor([least, float("inf") if most is None else most])
        first, last = (int(code) for code in quantizer.codes(bounds))
        low, high = (min(max(code, first), last) for code in (low, high))
    return low, high
