"""The float network with quantization switched on at chosen places."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from edgewise.data.dataset import Split
from edgewise.graph.network import Network, first_output, module_of
from edgewise.progress import Progress
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize

Values = Mapping[fx.Node, Any]


@dataclass(frozen=True)
class Pair:
    """A folded float network and the same one quantized; nodes of both have the same names."""

    floats: Network
    quantized: Network


def quantized_pair(
    network: Network, quantize: Quantize, calibration: Split, progress: Progress
) -> Pair:
    """The network folded, and quantized with ranges from the calibration images."""
    floats = Recipe("float32", (Fold(),)).apply(network).network
    recipe = Recipe("quantized", (Calibrate(), quantize))
    return Pair(floats, recipe.apply(floats, calibration, progress).network)


class Simulation(fx.Interpreter):
    """Runs the quantized graph with its quantization on at some nodes and off at the others.

    Off, a quantizer passes its input on and a layer computes with float weights. Only what differs
    from the float network is computed again, so a late layer costs little; memory is that of two
    times all values of one batch.
    """

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair.quantized.module, garbage_collect_values=False)
        self.graph_module = pair.quantized.module
        self._floats = {node.name: layer for node, layer in pair.floats.layers()}
        self._on: frozenset[str] = frozenset()
        (self._output,) = self.graph_module.graph.find_nodes(op="output")

    def floats(self, images: Tensor) -> Values:
        """Every value of the float network for a batch of network inputs."""
        self._on = frozenset()
        self.run(images)
        return self.env

    def answer(self, floats: Values, on: frozenset[str] = frozenset()) -> Tensor:
        """The network's output with quantization on at the nodes of these names.

        floats: what `floats` gave for the same images.
        """
        changed: dict[fx.Node, Any] = {}
        self._on = on
        self.env = ChainMap(changed, floats)  # type: ignore[arg-type, assignment]
        for node in self.graph_module.graph.nodes:
            if node.name in on or any(source in changed for source in node.all_input_nodes):
                changed[node] = self.run_node(node)
        result = first_output(self.env[self._output])
        self.env = {}
        return result

    def run_node(self, n: fx.Node) -> Any:
        target = module_of(self.graph_module, n)
        if n.name not in self._on:
            if isinstance(target, FakeQuantize):
                return self.env[n.all_input_nodes[0]]
            if isinstance(target, QuantizedLayer):
                return self._floats[n.name](self.env[n.all_input_nodes[0]])
        return super().run_node(n)
