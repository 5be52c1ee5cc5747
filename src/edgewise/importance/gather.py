"""What criteria need to know, gathered from a network on images in one pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.importance.inputs import InputMoments
from edgewise.importance.moments import LinkMoments

_POSITIONS = 4096  # of a batch, for moments of inputs together


@dataclass
class Seen:
    """A layer's weights with BatchNorm folded in, and its moments, as far as they were wanted.

    nodes: the calls of the layer, which share its weights and its moments.
    """

    layer: WeightedLayer
    weight: Tensor
    bias: Tensor | None
    links: LinkMoments | None
    inputs: InputMoments | None
    nodes: list[fx.Node] = field(default_factory=list)

    def seen_links(self) -> LinkMoments:
        assert self.links is not None, "they were asked for"
        return self.links


@dataclass(frozen=True)
class Needs:
    """Which moments to gather."""

    links: bool
    inputs: bool


@torch.no_grad()
def gather(
    network: Network, batches: Iterable[Tensor], wanted: Sequence[fx.Node], needs: Needs
) -> list[Seen]:
    """Moments of the layers that `wanted` nodes call, over batches of images.

    Layers that share their weights are one.
    """
    found: dict[int, Seen] = {}
    for node in wanted:
        layer = module_of(network.module, node)
        assert isinstance(layer, WeightedLayer)
        if id(layer.weight) not in found:
            found[id(layer.weight)] = _nothing(layer, needs)
        found[id(layer.weight)].nodes.append(node)
    if needs.links or needs.inputs:
        watcher = _Watcher(network.module, list(found.values()))
        for images in batches:
            watcher.run(images)
    return list(found.values())


def _nothing(layer: WeightedLayer, needs: Needs) -> Seen:
    weight, bias = layer.folded()
    shape = tuple(weight.shape)
    links = LinkMoments.empty(layer.form, shape) if needs.links else None
    inputs = InputMoments.empty(layer.form, shape, _POSITIONS) if needs.inputs else None
    return Seen(layer, weight, bias, links, inputs)


class _Watcher(fx.Interpreter):
    """Runs the graph with BatchNorm folded into the layers it watches."""

    def __init__(self, module: fx.GraphModule, seen: Sequence[Seen]) -> None:
        super().__init__(module)
        self._seen = {node: one for one in seen for node in one.nodes}

    def run_node(self, n: fx.Node) -> Any:
        seen = self._seen.get(n)
        if seen is None:
            return super().run_node(n)
        inputs: Tensor = self.env[n.all_input_nodes[0]]
        form = seen.layer.form
        sums = form.run(inputs, seen.weight, None)
        if seen.links is not None:
            seen.links.add(inputs, sums)
        if seen.inputs is not None:
            seen.inputs.add(inputs, sums)
        if seen.bias is None:
            return sums
        shape = [1] * sums.ndim
        shape[-1 if form.kind == "linear" else 1] = -1
        return sums + seen.bias.view(shape)
