"""Store weights as integers."""

from dataclasses import dataclass
from typing import ClassVar

from edgewise.data.dataset import Split
from edgewise.graph.network import Network
from edgewise.graph.regions import covers
from edgewise.progress import Progress
from edgewise.quant.scheme import Scheme
from edgewise.quant.stored import StoredLayer
from edgewise.steps.step import Step


@dataclass(frozen=True)
class StoreWeights(Step):
    """Round weights of float layers to integers per output channel, for a small file.

    The runtime widens them once, when it loads, and computes in float32: neither faster nor slower,
    and no calibration images are needed. bits: 8, 4, 3 or 2; layers: globs, or names of regions;
    layers that are on integers already stay as they are.
    """

    name: ClassVar[str] = "weight-only"
    stores: ClassVar[bool] = True

    bits: int = 8
    layers: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        Scheme(weight_bits=self.bits)  # refuses what is not offered before any work

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        kind = Scheme(weight_bits=self.bits).weights
        for node, layer in list(network.layers()):
            if not any(covers(text, layer.form.path, network.regions) for text in self.layers):
                continue
            network.module.set_submodule(str(node.target), StoredLayer(layer, kind))
        network.module.recompile()
        return network
