"""Sets of channels that must be removed together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from edgewise.graph.channels.atoms import Labels
from edgewise.graph.channels.trace import Trace, trace
from edgewise.graph.channels.weighted import is_depthwise
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of

Role = Literal["makes", "passes", "reads"]


@dataclass(frozen=True)
class Member:
    """What one layer has to do with a group.

    layer: its submodule in the graph; path: in the user's module; role: whether these are channels
    that it makes, that it passes on one by one (depthwise, BatchNorm alone), or that it reads;
    channels: of each position of the group, those that belong to it: several where a map was
    flattened, or where a layer has groups.
    """

    layer: str
    path: str
    role: Role
    channels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of several layers that go together, position by position.

    name: of the first layer that makes them, numbered where a layer has several groups; size:
    positions; reason: why none of them can be removed, or None.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    reason: str | None


def channel_groups(network: Network) -> tuple[ChannelGroup, ...]:
    """All groups of channels that the network's layers make, in the order they run."""
    return groups_of(network, trace(network))


def groups_of(network: Network, found: Trace) -> tuple[ChannelGroup, ...]:
    """The groups of a trace."""
    held = _holdings(network, found)
    rows = [row for (_, role), row in held.items() if role == "makes"]
    made = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    parts = _parts(found, int(max(made, default=-1)) + 1)
    groups: dict[int, list[int]] = {}
    for label in dict.fromkeys(made.tolist()):
        groups.setdefault(int(parts[int(label)]), []).append(int(label))
    members = [_members(held, labels) for labels in groups.values()]
    names = _names([one[0].layer for one in members])
    return tuple(
        ChannelGroup(name, len(labels), one, found.reasons.get(labels[0]))
        for name, labels, one in zip(names, groups.values(), members, strict=True)
    )


Holdings = Mapping[tuple[fx.Node, Role], Labels]


def _holdings(network: Network, found: Trace) -> Holdings:
    """Labels of the channels that every layer makes, passes and reads."""
    held: dict[tuple[fx.Node, Role], Labels] = {}
    for node in network.module.graph.nodes:
        module, labels = module_of(network.module, node), found.labels(node)
        if type(module) is WeightedLayer and not is_depthwise(module):
            assert labels is not None
            held[node, "makes"] = labels
            read = found.labels(node.all_input_nodes[0])
            if read is not None:
                held[node, "reads"] = read
        elif isinstance(module, WeightedLayer | nn.BatchNorm2d) and labels is not None:
            held[node, "passes"] = labels
    return held


def _parts(found: Trace, count: int) -> NDArray[np.int64]:
    """Which labels the same tensors hold, each as often, and for the same reason.

    So a group is in a tensor as a whole, and what is left of it leaves none without channels.
    """
    reasons = {reason: index for index, reason in enumerate(dict.fromkeys(found.reasons.values()))}
    parts = np.array([reasons.get(found.reasons.get(label, ""), -1) for label in range(count)])
    for layout in found.layouts.values():
        labels = layout.labels[layout.labels < count]
        both = np.stack([parts, np.bincount(labels, minlength=count)])
        parts = np.unique(both, axis=1, return_inverse=True)[1].ravel()
    return parts


def _members(held: Holdings, labels: list[int]) -> tuple[Member, ...]:
    wanted = {label: position for position, label in enumerate(labels)}
    members = []
    for (node, role), row in held.items():
        channels: list[list[int]] = [[] for _ in labels]
        for channel, label in enumerate(row.tolist()):
            if label in wanted:
                channels[wanted[label]].append(channel)
        if any(channels):
            path = str(node.meta["path"])
            members.append(Member(str(node.target), path, role, tuple(map(tuple, channels))))
    return tuple(sorted(members, key=lambda one: one.role != "makes"))


def _names(firsts: list[str]) -> list[str]:
    """A name each; a number where the first layer is that of several groups."""
    names, seen = [], dict[str, int]()
    for first in firsts:
        seen[first] = seen.get(first, 0) + 1
        names.append(first if firsts.count(first) == 1 else f"{first}#{seen[first]}")
    return names
