"""The exact integer twin of a quantized network.

It computes what an integer runtime must: sums of products of codes, exact (in float64, where they
fit), then one float32 multiplication by input scale * weight scale / output scale, rounded half to
even. It is the reference for an artifact's codes; the float simulation is not, because it rounds at
ties by the accident of its sums.

Teacher-forced, every quantizer's codes are compared and then replaced by the artifact's own, so
that one layer's difference is not blamed on the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from edgewise.graph.network import module_of, operation
from edgewise.quant.fake import FakeQuantize, QuantizedLayer

_CLIPS = {"relu": (0.0, None), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}


@dataclass(frozen=True)
class Twin:
    """Codes of every quantizer node, int64, and where they differ from the ones forced.

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


class _Interpreter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, forced: Mapping[str, Tensor]) -> None:
        super().__init__(module)
        self.graph_module = module
        self.forced = forced
        self.codes: dict[str, Tensor] = {}
        self.off: dict[str, Tensor] = {}
        self._sums: dict[fx.Node, _Accumulator] = {}

    def run_node(self, n: fx.Node) -> Any:
        target = module_of(self.graph_module, n)
        if isinstance(target, QuantizedLayer):
            return self._layer(n, target)
        if isinstance(target, FakeQuantize):
            return self._quantizer(n, target)
        return super().run_node(n)

    def _input(self, node: fx.Node) -> Tensor:
        arguments, _ = self.fetch_args_kwargs_from_env(node)
        value = arguments[0]
        assert isinstance(value, Tensor)
        return value

    def _layer(self, node: fx.Node, layer: QuantizedLayer) -> Tensor:
        # Values are codes times scale; dividing recovers the integers exactly.
        codes = torch.round(self._input(node) / layer.source[0].scale)
        sums = layer.accumulate(codes)
        step = layer.step.view(1, -1, *[1] * (sums.ndim - 2))
        self._sums[node] = _Accumulator(sums, step)
        return (sums * step.double()).float()

    def _quantizer(self, node: fx.Node, quantizer: FakeQuantize) -> Tensor:
        producer = node.all_input_nodes[0]
        kind = operation(self.graph_module, producer)
        layer = producer.all_input_nodes[0] if kind in _CLIPS else producer
        if layer in self._sums:
            codes = _requantize(self._sums[layer], quantizer)
            if kind in _CLIPS:
                codes = _clip(codes, quantizer, clip_bounds(producer, kind))
        else:
            codes = quantizer.codes(self._input(node))
        if node.name in self.forced:
            theirs = self.forced[node.name].to(codes.dtype)
            self.off[node.name] = (theirs - codes).abs()
            codes = theirs
        self.codes[node.name] = codes
        return quantizer.values(codes)


def clip_bounds(node: fx.Node, kind: str) -> tuple[float, float | None]:
    """The bounds of a clipping activation; None is no upper bound."""
    low, high = _CLIPS[kind]
    given = [float(value) for value in node.args[1:3] if isinstance(value, (int, float))]
    if kind == "hardtanh" and len(given) == 2:
        return given[0], given[1]
    return low, high


def _requantize(sums: _Accumulator, quantizer: FakeQuantize) -> Tensor:
    scaled = sums.sums.float() * (sums.step / quantizer.scale)
    codes = torch.round(scaled) + quantizer.zero_point
    return torch.clamp(codes, quantizer.kind.low, quantizer.kind.high)


def _clip(codes: Tensor, quantizer: FakeQuantize, bounds: tuple[float, float | None]) -> Tensor:
    low = quantizer.codes(torch.tensor(bounds[0]))
    high = None if bounds[1] is None else quantizer.codes(torch.tensor(bounds[1]))
    return torch.clamp(codes, low, high)
