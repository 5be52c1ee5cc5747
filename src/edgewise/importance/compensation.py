"""The mean of what layers lose with channels that are removed, given back to them."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgewise.errors import DataError
from edgewise.graph.averaging import averaging
from edgewise.graph.channels.masks import Choice, chosen_parts
from edgewise.graph.channels.sliced import Slicer
from edgewise.graph.channels.weighted import is_depthwise, outputs
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import Network


class _Lost:
    """Sums over positions of what one layer gets from the channels that go: (outputs,)."""

    def __init__(self, part: WeightedLayer, axis: int, gone: Tensor) -> None:
        self._part, self._axis, self._gone = part, axis, gone
        self._sum = torch.zeros(1, dtype=torch.float64)
        self._count = 0

    def __call__(self, layer: nn.Module, given: Any) -> None:
        inputs = given[0].index_select(self._axis, self._gone)
        rows = self._part.form.run(inputs, self._part.weight, None)
        rows = rows.movedim(_axis(self._part.form, rows.ndim), -1).flatten(0, -2)
        self._sum = self._sum + rows.sum(0, dtype=torch.float64)
        self._count += len(rows)

    @property
    def mean(self) -> Tensor:
        return self._sum / max(self._count, 1)


def _axis(form: Form, rank: int) -> int:
    return rank - 1 if form.kind == "linear" else 1


@torch.no_grad()
def lost_means(network: Network, choice: Choice, batches: Iterable[Tensor]) -> Mapping[str, Tensor]:
    """By layer, the mean over positions and images of what it gets from channels that a choice
    removes, before BatchNorm: float64 (outputs,).
    """
    made, slicer, found = network.copy(), Slicer(), dict[str, _Lost]()
    parts = chosen_parts(made, choice)
    with ExitStack() as hooks:
        for node, layer in made.layers():
            part = parts.get(node.all_input_nodes[0])
            if part is None or is_depthwise(layer):
                continue
            rest = slicer.layer(layer, np.ones(outputs(layer), np.bool_), ~part.kept)
            gone = torch.from_numpy(np.flatnonzero(~part.kept))
            found[str(node.target)] = lost = _Lost(rest, part.axis, gone)
            hooks.callback(layer.register_forward_pre_hook(lost).remove)
        for images in batches:
            made(images)
    return {name: lost.mean for name, lost in found.items()}


@torch.no_grad()
def compensate(smaller: Network, means: Mapping[str, Tensor]) -> None:
    """Add what layers of a network that was just cut have lost to their bias, or take it off their
    BatchNorm's mean.
    """
    for node, layer in smaller.layers():
        name = str(node.target)
        if name not in means:
            continue
        mean = means[name][list(smaller.cuts[-1].layers[name].outputs)]
        norm = layer.batch_norm
        if norm is not None:
            assert norm.running_mean is not None
            norm.running_mean = (norm.running_mean.double() - mean).to(norm.running_mean.dtype)
        else:
            old = 0.0 if layer.bias is None else layer.bias.detach().double()
            bias = (old + mean).to(layer.weight.dtype)
            layer.bias = nn.Parameter(bias, requires_grad=layer.weight.requires_grad)


@torch.no_grad()
def reestimate(smaller: Network, batches: Iterable[Tensor]) -> None:
    """Set BatchNorm's statistics to those that a network which was just cut has on images: with
    fewer inputs sums vary less, and layer by layer the signal would fade.

    A batch of one image is left out, as it may have no variance; raises DataError where all are.
    """
    count = 0
    with averaging(smaller.module) as wanted:
        for images in batches if wanted else ():
            if len(images) > 1:
                smaller(images)
                count += 1
    if wanted and not count:
        raise DataError("statistics of BatchNorm need batches of at least two images.")
