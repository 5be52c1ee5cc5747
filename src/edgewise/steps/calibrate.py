"""See what values every tensor takes on calibration images."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from edgewise.data.dataset import Split
from edgewise.errors import DataError, RecipeError
from edgewise.graph.histogram import Histogram
from edgewise.graph.network import Network, operation
from edgewise.progress import Progress
from edgewise.quant.placement import PASS
from edgewise.steps.batches import batches_of
from edgewise.steps.step import Step

_ACTIVATIONS = frozenset({"relu", "relu6", "hardtanh"})


@dataclass(frozen=True)
class Calibrate(Step):
    """Collect a histogram of every tensor that may be quantized.

    images: how many calibration images to use at most; batch_size: images at a time. Memory does
    not depend on the number of images, and neither batch size nor order changes the histograms.
    """

    name: ClassVar[str] = "calibrate"
    needs_data: ClassVar[bool] = True

    images: int = 256
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.images < 1 or self.batch_size < 1:
            raise RecipeError("calibration needs at least one image and a batch of one.")

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        assert data is not None, "a recipe gives data to the steps that need them"
        split = data.head(self.images)
        observer = _Observer(network.module)
        for images in batches_of(split, network, self.batch_size, progress, "calibrate"):
            observer.run(images)
        return replace(network, ranges=observer.ranges)


class _Observer(fx.Interpreter):
    """Runs the graph and merges what it sees into histograms."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.ranges: dict[str, Histogram] = {}
        self._watched = {node for node in module.graph.nodes if _may_be_quantized(module, node)}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self._watched and isinstance(result, Tensor):
            try:
                seen = Histogram.of(result)
            except DataError as error:
                raise DataError(
                    f"the output of '{n.meta['path'] or n.name}' is not finite for a calibration "
                    "image; the network overflows on these data."
                ) from error
            known = self.ranges.get(n.name)
            self.ranges[n.name] = seen if known is None else known.merge(seen)
        return result


def _may_be_quantized(module: fx.GraphModule, node: fx.Node) -> bool:
    """Not what only moves values, nor what every runtime clips before anyone else reads it."""
    if not node.meta.get("floating") or node.op in ("get_attr", "output"):
        return False
    if operation(module, node) in PASS:
        return False
    readers = {operation(module, user) for user in node.users}
    return not (len(node.users) == 1 and readers <= _ACTIVATIONS and _weighted(module, node))


def _weighted(module: fx.GraphModule, node: fx.Node) -> bool:
    return operation(module, node) in ("conv2d", "linear")
