"""Pruning of links: weights that become zero and stay so."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, fx

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.graph.regions import covers
from edgewise.importance.criterion import Evidence
from edgewise.importance.gather import Needs, Seen, gather
from edgewise.importance.moments import KINDS
from edgewise.importance.rules import rule
from edgewise.importance.table import criterion
from edgewise.progress import Progress
from edgewise.steps.batches import batches_of
from edgewise.steps.refit_links import refit_biases, refit_weights, zeroed
from edgewise.steps.step import Step

_BATCH = 64
_REFITS = ("weights", "bias", "none")


@dataclass(frozen=True)
class PruneLinks(Step):
    """Set the least important weights to zero, layer by layer or over all.

    sparsity: share of the links that are gone afterwards, earlier ones counted; criterion: see
    importance; rule: layer, unit, global or energy; refit: weights (the links that stay get those
    of least squared error; no labels), bias (biases take over the mean of what went) or none;
    layers: globs of layers or names of regions to prune; images: calibration images to look at.
    """

    name: ClassVar[str] = "prune-links"
    needs_data: ClassVar[bool] = True
    prunes: ClassVar[bool] = True

    sparsity: float = 0.9
    criterion: str = "wanda"
    rule: str = "layer"
    refit: str = "weights"
    layers: tuple[str, ...] = ("*",)
    images: int = 1024

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise RecipeError(f"a sparsity is a share from 0 to below 1, not {self.sparsity}.")
        if self.images < 1:
            raise RecipeError("prune-links needs at least one image.")
        if self.refit not in _REFITS:
            raise RecipeError(f"refit is one of {', '.join(_REFITS)}, not '{self.refit}'.")
        criterion(self.criterion)
        rule(self.rule)

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        assert data is not None, "a recipe gives data to the steps that need them"
        split = data.head(self.images)
        nodes = self._nodes(network)
        how = criterion(self.criterion)
        needs = Needs(how.needs_links or self.refit == "bias", how.needs_inputs)
        batches = batches_of(split, network, _BATCH, progress, self.name)
        seen = gather(network, batches, nodes, needs)
        scores = [self._scores(one) for one in seen]
        found = rule(self.rule)(scores, self.sparsity)
        masks = [mask & torch.isfinite(one) for mask, one in zip(found, scores, strict=True)]
        by_node = {node: (one, m) for one, m in zip(seen, masks, strict=True) for node in one.nodes}
        kept = {node: by_node[node][1] for node in nodes}
        if self.refit == "weights":
            changed = refit_weights(network, split, kept, progress)
        elif self.refit == "bias":
            means = {node: by_node[node][0].seen_links().mean for node in nodes}
            changed = refit_biases(network, kept, means)
        else:
            changed = zeroed(network, kept)
        return replace(changed, held=network.held | {str(node.target) for node in nodes}, ranges={})

    def _nodes(self, network: Network) -> list[fx.Node]:
        nodes = [
            node
            for node, layer in network.layers()
            if layer.form.kind in KINDS
            and any(covers(text, layer.form.path, network.regions) for text in self.layers)
        ]
        if not nodes:
            raise RecipeError(f"no layer to prune is covered by {list(self.layers)}.")
        return nodes

    def _scores(self, seen: Seen) -> Tensor:
        kept = round(seen.weight.numel() * (1 - self.sparsity))
        scores = criterion(self.criterion).scores(
            Evidence(seen.weight, seen.links, seen.inputs, kept)
        )
        # What is gone stays gone.
        return scores.masked_fill(seen.weight == 0, -torch.inf)
