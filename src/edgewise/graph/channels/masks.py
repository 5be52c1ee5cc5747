"""What a choice of channels means for every tensor of a network."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import fx

from edgewise.errors import UsageError
from edgewise.graph.channels.groups import ChannelGroup, groups_of
from edgewise.graph.channels.trace import Trace, trace
from edgewise.graph.network import Network

Choice = Mapping[str, Sequence[int]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Part:
    """Which channels of a tensor are kept: (size of that axis,)."""

    axis: int
    kept: Mask

    @property
    def count(self) -> int:
        return int(self.kept.sum())


Parts = Mapping[fx.Node, Part]


def chosen_parts(network: Network, choice: Choice) -> Parts:
    """For every tensor that loses channels, by its node.

    choice: name of a group -> positions to keep; other groups stay whole. Raises UsageError for a
    group that there is none of, or that cannot be cut, and for positions that it does not have.
    """
    found = trace(network)
    groups = {group.name: group for group in groups_of(network, found)}
    nodes = {str(node.target): node for node, _ in network.layers()}
    removed: set[int] = set()
    for name, positions in choice.items():
        group = _cuttable(network, groups, name)
        first = group.members[0]
        labels = found.labels(nodes[first.layer])
        assert labels is not None, "the first of a group's members makes its channels"
        gone = set(range(group.size)) - _valid(group, positions)
        removed.update(int(labels[first.channels[position][0]]) for position in gone)
    return parts_without(found, removed)


def parts_without(found: Trace, removed: Collection[int]) -> Parts:
    """For every tensor that holds one of the labels that are removed, by its node."""
    gone = np.array(sorted(removed), np.int64)
    parts = {}
    for node, layout in found.layouts.items():
        kept = ~np.isin(layout.labels, gone)
        if not kept.all():
            parts[node] = Part(layout.axis, kept)
    return parts


def _cuttable(network: Network, groups: Mapping[str, ChannelGroup], name: str) -> ChannelGroup:
    if name not in groups:
        raise UsageError(
            f"{network.name} has no group of channels '{name}'; it has {', '.join(groups)}."
        )
    if groups[name].reason is not None:
        raise UsageError(f"the channels of '{name}' cannot be removed: {groups[name].reason}.")
    return groups[name]


def _valid(group: ChannelGroup, positions: Sequence[int]) -> set[int]:
    kept = {int(position) for position in positions}
    if not kept or len(kept) != len(positions) or not kept <= set(range(group.size)):
        raise UsageError(
            f"of the {group.size} channels of '{group.name}' at least one is kept, each named "
            "once, from 0; leave the group out to keep it whole."
        )
    return kept
