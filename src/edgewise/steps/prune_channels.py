"""Remove channels, so that the network is smaller and every runtime faster."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.data.dataset import Split
from edgewise.errors import ModelError, RecipeError
from edgewise.graph.channels.groups import ChannelGroup, channel_groups
from edgewise.graph.cut import cut
from edgewise.graph.network import Network
from edgewise.graph.regions import covers
from edgewise.importance.channels import CRITERIA, Scores, magnitude_scores, shapley_scores
from edgewise.importance.compensation import compensate, lost_means, reestimate
from edgewise.importance.widths import best, uniform, within_macs
from edgewise.progress import Progress
from edgewise.steps.batches import batches_of
from edgewise.steps.step import Step

_OF = ("macs", "channels")


@dataclass(frozen=True)
class PruneChannels(Step):
    """Cut the channels that are worth least out of all layers that have to do with them.

    share: how much goes, `of` the network's MACs, least worth per MAC first, or of the channels of
    every group alike; criterion: of worth, shapley (by what layers read) or magnitude (by the
    weights that make them); multiple: of which widths stay, where they are at least twice that;
    images: to judge by, at most; compensate: the mean of what a layer loses goes into its bias;
    statistics: those of BatchNorm are taken anew, of the same images; keep: names of regions, or
    globs on layers, whose channels stay.
    """

    name: ClassVar[str] = "prune-channels"
    needs_data: ClassVar[bool] = True
    prunes: ClassVar[bool] = True

    share: float = 0.5
    of: str = "macs"
    criterion: str = "shapley"
    multiple: int = 8
    images: int = 256
    batch_size: int = 16
    compensate: bool = True
    statistics: bool = True
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.share) and 0 < self.share < 1):
            raise RecipeError(f"prune-channels removes a share between 0 and 1, not {self.share}.")
        if self.of not in _OF:
            raise RecipeError(f"prune-channels has shares of {' or '.join(_OF)}, not '{self.of}'.")
        if self.criterion not in CRITERIA:
            raise RecipeError(
                f"prune-channels judges by {' or '.join(CRITERIA)}, not '{self.criterion}'."
            )
        if min(self.multiple, self.images, self.batch_size) < 1:
            raise RecipeError(
                "prune-channels needs a multiple of at least one, one image and a batch of one."
            )

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        assert data is not None, "a recipe gives data to the steps that need them"
        if network.ranges:
            raise RecipeError(
                "prune-channels removes what calibrate has seen; put it before calibrate."
            )
        groups = self._groups(network)
        scores = self._scores(network, groups, data, progress)
        if self.of == "channels":
            counts = uniform(groups, self.share, self.multiple)
        else:
            counts = within_macs(network, groups, scores, self.share, self.multiple)
        choice = best(scores, counts)
        smaller = cut(network, choice)
        if self.compensate:
            batches = self._batches(network, data, progress, "compensate")
            compensate(smaller, lost_means(network, choice, batches))
        if self.statistics:
            reestimate(smaller, self._batches(smaller, data, progress, "statistics"))
        return smaller

    def _groups(self, network: Network) -> tuple[ChannelGroup, ...]:
        found = channel_groups(network)
        groups = tuple(one for one in found if one.reason is None and not self._stays(network, one))
        if not groups:
            reasons = "; ".join(f"{one.name}: {one.reason or 'is kept'}" for one in found)
            raise ModelError(f"no channels of {network.name} can be removed: {reasons}.")
        return groups

    def _stays(self, network: Network, group: ChannelGroup) -> bool:
        return any(
            covers(text, member.path, network.regions)
            for text in self.keep
            for member in group.members
            if member.role == "makes"
        )

    def _scores(
        self, network: Network, groups: tuple[ChannelGroup, ...], data: Split, progress: Progress
    ) -> Scores:
        if self.criterion == "magnitude":
            return magnitude_scores(network, groups)
        batches = self._batches(network, data, progress, self.name)
        return shapley_scores(network, groups, batches, self.compensate)

    def _batches(
        self, network: Network, data: Split, progress: Progress, title: str
    ) -> Iterator[Tensor]:
        split = data.head(self.images)
        return batches_of(split, network, self.batch_size, progress, title)
