"""Compute on integers, with ranges of activations found at every inference."""

from dataclasses import dataclass
from typing import ClassVar

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.graph.walk import Walk
from edgewise.progress import Progress
from edgewise.quant.dynamic import KINDS, DynamicLayer
from edgewise.quant.placement import find_kept
from edgewise.quant.scheme import INT8
from edgewise.steps.step import Step

_PROBE = 2  # images


@dataclass(frozen=True)
class Dynamic(Step):
    """Round weights to int8 per output channel, and every layer's input to uint8 as it comes.

    The runtime finds each input's range at every inference: no calibration images are needed, and
    the time that takes is spent every time. keep_float: globs on the names of layers that stay in
    float; transposed convolutions do so anyway. Artifacts take one image at a time, since a range
    is that of all images in a batch.
    """

    name: ClassVar[str] = "dynamic"
    stores: ClassVar[bool] = True

    keep_float: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        globs: object = self.keep_float
        if isinstance(globs, str):  # each of its letters would be a glob
            raise RecipeError(f"keep_float is a tuple of globs; say ('{globs}',).")

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        kept = find_kept(network, self.keep_float)
        chosen = [
            (node, layer)
            for node, layer in network.layers()
            if node not in kept and layer.form.kind in KINDS
        ]
        if not chosen:
            raise RecipeError(
                f"no layer is left to quantize: keep_float {list(self.keep_float)} covers all "
                f"that have an integer form ({', '.join(KINDS)})."
            )
        walk = Walk(network.module, [network.example(_PROBE)])
        rows = [len(next(walk.inputs(node))) // _PROBE for node, _ in chosen]
        for (node, layer), each in zip(chosen, rows, strict=True):
            made = DynamicLayer(layer, INT8.weights, each)
            network.module.set_submodule(str(node.target), made)
        network.module.recompile()
        return network
