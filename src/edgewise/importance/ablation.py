"""The game of a network's channels: what the true loss says of those that are there.

A channel that is absent reads as its mean over the images, wherever it is read. Channels enter one
after the other, and only what depends on the one that entered is computed again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from edgewise.graph.network import Network, operation
from edgewise.importance.game import Values
from edgewise.importance.permutations import Order

_ACTIVATIONS = frozenset(
    {"relu", "relu6", "hardtanh", "leaky_relu", "silu", "hardswish", "sigmoid", "hardsigmoid"}
)
_WEIGHTED = frozenset({"conv2d", "linear"})

# What first outputs lose on average, and of which images they are: lower is better.
Loss = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class ChannelPlayers:
    """Channels of one tensor: the node that gives it, past the layer's activation; layer: its path;
    count: how many channels."""

    node: fx.Node
    layer: str
    count: int


def channel_players(network: Network) -> tuple[ChannelPlayers, ...]:
    """Output channels of every weighted layer but those whose channels are the network's answer."""
    found: list[ChannelPlayers] = []
    for node, layer in network.layers():
        end = _activated(network, node)
        if any(user.op == "output" for user in end.users):
            continue
        count = int(end.meta["shape"][1])
        found.append(ChannelPlayers(end, layer.form.path, count))
    return tuple(found)


def _activated(network: Network, node: fx.Node) -> fx.Node:
    """The node after a layer's own BatchNorm and activation, where nothing else reads between."""
    while len(node.users) == 1:
        (user,) = node.users
        if operation(network.module, user) not in _ACTIVATIONS | {"batch_norm"}:
            break
        node = user
    return node


BY = ("channel", "layer")


@dataclass(frozen=True)
class _Part:
    """Which images of a game, and how absent channels read."""

    rows: Tensor
    absent: Sequence[Tensor]


class ChannelGame:
    """Walks orders of players; the value of a coalition is the loss of none less its own.

    images: network inputs, all at once; loss: of the network's first outputs for them; by: whether
    a player is a channel, or all channels of a layer; nobody, everybody: the loss without any
    player and with all.
    """

    def __init__(
        self, network: Network, images: Tensor, loss: Loss, by: str = "channel",
        part: _Part | None = None,
    ) -> None:  # fmt: skip
        self._network, self._images, self._loss, self._by = network, images, loss, by
        self.tensors = channel_players(network)
        rows = self._rows = torch.arange(len(images)) if part is None else part.rows
        absent = () if part is None else part.absent
        self._run = _Run(network, self.tensors, images[rows], absent)
        self._where = [
            (number, slice(start, start + size))
            for number, one in enumerate(self.tensors)
            for size in (1 if by == "channel" else one.count,)
            for start in range(0, one.count, size)
        ]
        self.count = len(self._where)
        self.nobody = loss(self._run.start(present=False), rows)
        self.everybody = loss(self._run.start(present=True), rows)

    def part(self, rows: Tensor) -> "ChannelGame":
        """The same game on some of the images; channels that are absent read as they do in all.

        The value is a mean over images, so that the whole game's is the mean of its parts'.
        """
        part = _Part(rows, self._run.absent)
        return ChannelGame(self._network, self._images, self._loss, self._by, part)

    @property
    def worth(self) -> float:
        """What all channels together take off the loss."""
        return self.nobody - self.everybody

    def walk(self, order: Order, tolerance: float = 0.0) -> Values:
        """Marginals of all players, by player, as they enter in an order.

        tolerance: what is left to win below which the rest get 0.
        """
        found = np.zeros(self.count)
        self._run.start(present=False)
        before = self.nobody
        for player in order:
            if tolerance and abs(before - self.everybody) < tolerance:
                break
            after = self._loss(self._run.enter(*self._where[int(player)]), self._rows)
            found[player] = before - after
            before = after
        return found

    def value(self, members: Sequence[bool]) -> float:
        """Of one coalition, computed from the start."""
        there = zip(members, self._where, strict=True)
        chosen = [where for member, where in there if member]
        return self.nobody - self._loss(self._run.with_members(chosen), self._rows)


class _Run(fx.Interpreter):
    """All values of the graph for one coalition, of which any channel can enter."""

    def __init__(
        self, network: Network, players: Sequence[ChannelPlayers], images: Tensor,
        absent: Sequence[Tensor],
    ) -> None:  # fmt: skip
        super().__init__(network.module, garbage_collect_values=False)
        self._players = players
        self._index = {one.node: number for number, one in enumerate(players)}
        self._present = [torch.ones(one.count, dtype=torch.bool) for one in players]
        self._whole: dict[fx.Node, Tensor] = {}
        self._after = [_readers(one.node) for one in players]
        self._images = images
        self.absent: Sequence[Tensor] = ()
        with torch.no_grad():
            self.run(images)
        self.absent = absent or [_means(self._whole[one.node]) for one in players]

    @torch.no_grad()
    def start(self, present: bool) -> Tensor:
        """The answer where everybody is present, or nobody."""
        for mask in self._present:
            mask.fill_(present)
        return self._answer(self.run(self._images))

    @torch.no_grad()
    def with_members(self, members: Sequence[tuple[int, slice]]) -> Tensor:
        for mask in self._present:
            mask.fill_(False)
        for number, channels in members:
            self._present[number][channels] = True
        return self._answer(self.run(self._images))

    @torch.no_grad()
    def enter(self, number: int, channels: slice) -> Tensor:
        """The answer when some channels more are there."""
        node = self._players[number].node
        self._present[number][channels] = True
        self.env[node][:, channels] = self._whole[node][:, channels]
        result: Any = None
        for reader in self._after[number]:
            result = self.run_node(reader)
            self.env[reader] = result
        return self._answer(result)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        number = self._index.get(n)
        if number is None:
            return result
        self._whole[n] = result
        if not self.absent:
            return result
        shape = [1, -1, *[1] * (result.ndim - 2)]
        mask = self._present[number].view(shape)
        return torch.where(mask, result, self.absent[number].view(shape))

    def _answer(self, result: Any) -> Tensor:
        while not isinstance(result, Tensor):
            result = next(iter(result.values() if isinstance(result, dict) else result))
        return result


def _means(values: Tensor) -> Tensor:
    return values.transpose(0, 1).flatten(1).mean(1)


def _readers(node: fx.Node) -> list[fx.Node]:
    """All that depends on a node, in the order it runs."""
    touched = {node}
    found = []
    for other in node.graph.nodes:
        if other is not node and touched.intersection(other.all_input_nodes):
            touched.add(other)
            found.append(other)
    return found
