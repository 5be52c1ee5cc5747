"""How much each layer's output suffers from quantization: SQNR, alone and accumulated.

Signal-to-quantization-noise ratio in decibels, 10 log10(sum x^2 / sum (x - x')^2). Alone: the layer
gets the float network's own input, so the noise is its own. Accumulated: the whole network is
quantized, so the noise of the layers before it comes in too.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgewise.graph.network import Network, module_of, operation
from edgewise.graph.regions import region_of
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.placement import PASS
from edgewise.sensitivity.parts import end_of

_CEILING_DB = 150.0  # about what float32 can show


@dataclass(frozen=True)
class LayerNoise:
    """SQNR of one weighted layer's output, with the activation that is fused with it."""

    layer: str
    region: str
    parameters: int
    alone_sqnr_db: float
    accumulated_sqnr_db: float


@torch.no_grad()
def layer_noise(reference: Network, quantized: Network, images: Tensor) -> tuple[LayerNoise, ...]:
    """SQNR of every integer layer on a batch of network inputs.

    reference: the float network that `quantized` was made of, folded: its nodes have the names.
    """
    floats = _Values(reference.module)
    floats.run(images)
    simulated = _Values(quantized.module)
    simulated.run(images)
    found = []
    for node in quantized.module.graph.nodes:
        layer = module_of(quantized.module, node)
        if isinstance(layer, QuantizedLayer):
            end = end_of(quantized.module, node)
            truth = floats.values[_float_name(quantized.module, end)]
            alone = _alone(quantized.module, node, floats.values)
            found.append(
                LayerNoise(
                    layer.form.path,
                    region_of(layer.form.path, quantized.regions),
                    layer.weight_codes.numel(),
                    _sqnr_db(truth, alone),
                    _sqnr_db(truth, simulated.values[end.name]),
                )
            )
    return tuple(found)


class _Values(fx.Interpreter):
    """Keeps the value of every node."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.values[n.name] = result
        return result


def _float_name(module: fx.GraphModule, end: fx.Node) -> str:
    """The name in the float network of what a quantizer rounds, or of what none follows."""
    rounds = isinstance(module_of(module, end), FakeQuantize)
    return end.all_input_nodes[0].name if rounds else end.name


def _alone(module: fx.GraphModule, node: fx.Node, floats: dict[str, Tensor]) -> Tensor:
    """The layer's quantized output for the float network's input, through to its quantizer."""
    source = node.all_input_nodes[0]
    moved = source
    while operation(module, moved) in PASS:
        moved = moved.all_input_nodes[0]
    quantizer = module_of(module, moved)
    name = moved.all_input_nodes[0].name if source is moved else source.name
    value: Tensor = floats[name]
    if isinstance(quantizer, FakeQuantize):
        value = quantizer(value)
    current, end = node, end_of(module, node)
    interpreter = fx.Interpreter(module)
    while True:
        if current.op == "call_module":
            value = module.get_submodule(str(current.target))(value)
        else:
            interpreter.env = {current.all_input_nodes[0]: value}
            value = interpreter.run_node(current)
        if current is end:
            return value
        (current,) = current.users


def _sqnr_db(truth: Tensor, noisy: Tensor) -> float:
    signal = float(truth.double().square().sum())
    noise = float((truth.double() - noisy.double()).square().sum())
    if signal == 0 or noise == 0:
        return _CEILING_DB if noise == 0 else 0.0
    ratio = 10 * float(torch.log10(torch.tensor(signal / noise, dtype=torch.float64)))
    return min(ratio, _CEILING_DB)
