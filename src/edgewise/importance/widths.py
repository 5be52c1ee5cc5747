"""How many channels each group keeps: the same share of all, or what a budget of MACs leaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewise.errors import ModelError
from edgewise.graph.channels.groups import ChannelGroup
from edgewise.graph.channels.weighted import inputs, is_depthwise, outputs
from edgewise.graph.cost import node_macs
from edgewise.graph.network import Network
from edgewise.importance.channels import Scores

Counts = Mapping[str, int]
Matrix = NDArray[np.float64]


def best(scores: Scores, counts: Counts) -> dict[str, tuple[int, ...]]:
    """The positions of the highest scores, of each group that loses any."""
    kept = {}
    for name, count in counts.items():
        if count < len(scores[name]):
            order = torch.argsort(scores[name], descending=True, stable=True)
            kept[name] = tuple(sorted(order[:count].tolist()))
    return kept


def stride(group: ChannelGroup, multiple: int) -> int:
    """Positions that go at a time, so that the layer's width stays a multiple: one where it is less
    than twice that.
    """
    each = max(len(m.channels[0]) for m in group.members if m.role == "makes")
    narrow = group.size * each < 2 * multiple
    return 1 if narrow else min(group.size, multiple // math.gcd(multiple, each))


def uniform(groups: Sequence[ChannelGroup], share: float, multiple: int) -> Counts:
    """Every group without the same share, to the nearest multiple and at least one."""
    counts = {}
    for group in groups:
        step = stride(group, multiple)
        wanted = step * math.floor(group.size * (1 - share) / step + 0.5)
        counts[group.name] = min(group.size, max(step, wanted))
    return counts


def within_macs(
    network: Network, groups: Sequence[ChannelGroup], scores: Scores, share: float, multiple: int
) -> Counts:
    """Channels go, one multiple after the other, where least is lost per MAC saved, until that
    share of the network's MACs is gone.

    Layers stand one behind the other, so what they keep multiplies: the loss is the logarithm of
    the share of a group's scores that is left, and the last channels of a group are dear. Raises
    ModelError when so much cannot go.
    """
    macs = _macs(network, groups)
    steps = np.array([stride(group, multiple) for group in groups])
    sizes = np.array([group.size for group in groups])
    lost = [_lost(scores[group.name]) for group in groups]
    left, whole = sizes.copy(), macs.total(sizes)
    while (now := macs.total(left)) > (1 - share) * whole:
        # To the next multiple below; what is left then is never nothing.
        after = np.where(left % steps, left - left % steps, left - steps)
        possible = after > 0
        if not possible.any():
            raise ModelError(
                f"at most {1 - now / whole:.0%} of the MACs of {network.name} can be removed with "
                f"its channels, not {share:.0%}; ask for less, or for a smaller multiple."
            )
        after = np.where(possible, after, left)
        price = [row[s - a] - row[s - b] for row, s, a, b in zip(lost, sizes, after, left,
                                                                 strict=True)]  # fmt: skip
        saved = np.maximum(macs.saved(left, after), 1)
        chosen = int(np.argmin(np.where(possible, np.array(price) / saved, np.inf)))
        left[chosen] = after[chosen]
    return {group.name: int(count) for group, count in zip(groups, left, strict=True)}


def _lost(scores: Tensor) -> Matrix:
    """What is lost when 0, 1, ... of the lowest are removed: T log(T / kept), of scores with sum T,
    which for a few is the sum of theirs.
    """
    total = float(scores.sum())
    if total <= 0:
        return np.zeros(len(scores) + 1)
    gone = np.r_[0.0, torch.cumsum(scores.sort().values, 0).numpy()]
    return np.asarray(-total * np.log(np.maximum(1 - gone / total, 1e-12)))


@dataclass(frozen=True, eq=False)
class _Macs:
    """MACs by what each group keeps: unit * outputs * inputs, summed over layers.

    made, read: outputs and inputs of a layer per position of a group, (layers, groups); fixed_made,
    fixed_read: those that are of none, (layers,).
    """

    unit: Matrix
    made: Matrix
    read: Matrix
    fixed_made: Matrix
    fixed_read: Matrix

    def total(self, counts: NDArray[np.int64]) -> float:
        made, read = self.fixed_made + self.made @ counts, self.fixed_read + self.read @ counts
        return float(self.unit @ (made * read))

    def saved(self, before: NDArray[np.int64], after: NDArray[np.int64]) -> Matrix:
        """By each group alone, (groups,)."""
        made, read = self.fixed_made + self.made @ before, self.fixed_read + self.read @ before
        less_made = made[:, None] - self.made * (before - after)
        less_read = read[:, None] - self.read * (before - after)
        return np.asarray(self.unit @ (made * read)[:, None] - self.unit @ (less_made * less_read))


def _macs(network: Network, groups: Sequence[ChannelGroup]) -> _Macs:
    layers = list(network.layers())
    rows = {str(node.target): row for row, (node, _) in enumerate(layers)}
    made, read = (np.zeros((len(layers), len(groups))) for _ in range(2))
    for column, group in enumerate(groups):
        for member in group.members:
            if member.layer in rows:  # a BatchNorm alone multiplies nothing
                table = read if member.role == "reads" else made
                table[rows[member.layer], column] += len(member.channels[0])
    sizes = np.array([group.size for group in groups])
    outer = np.array([outputs(layer) for _, layer in layers])
    inner = np.array([1 if is_depthwise(layer) else inputs(layer) for _, layer in layers])
    macs = np.array([node_macs(node, one.form, one.weight.numel()) for node, one in layers])
    return _Macs(macs / (outer * inner), made, read, outer - made @ sizes, inner - read @ sizes)
