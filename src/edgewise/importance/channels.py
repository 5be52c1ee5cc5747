"""What each channel of a group is worth, by the layers that read it or by those that make it."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from edgewise.graph.channels.groups import ChannelGroup, Role
from edgewise.graph.channels.weighted import groups as groups_of
from edgewise.graph.network import Network
from edgewise.importance.gather import Needs, gather
from edgewise.importance.shapley import link_values

Scores = Mapping[str, Tensor]
CRITERIA = ("shapley", "magnitude")


@torch.no_grad()
def shapley_scores(
    network: Network, groups: Sequence[ChannelGroup], batches: Iterable[Tensor],
    centred: bool = True,
) -> Scores:  # fmt: skip
    """Shapley value of every position of the groups, summed over the layers that read it.

    In the squared-error game of a layer, the value of a channel is the sum of the values of its
    links, since no dividend is of more than two of them. Each layer's values are shares of its own
    energy, so that layers compare. centred: removal keeps the mean of what is read, so that only
    what varies counts. Raises ModelError for readers that links have no moments of.
    """
    wanted = {
        member.layer for group in groups for member in group.members if member.role == "reads"
    }
    nodes = [node for node, _ in network.layers() if str(node.target) in wanted]
    values: dict[str, Tensor] = {}
    for seen in gather(network, batches, nodes, Needs(links=True, inputs=False)):
        parts = link_values(seen.weight, seen.seen_links(), centred)
        by_group = parts.flatten(2).sum(2) if parts.ndim > 2 else parts
        worth = by_group.view(groups_of(seen.layer), -1, by_group.shape[1]).sum(1).flatten()
        values |= {str(node.target): worth for node in seen.nodes}
    return _summed(groups, values, "reads")


@torch.no_grad()
def magnitude_scores(network: Network, groups: Sequence[ChannelGroup]) -> Scores:
    """Euclidean norm of the weights, BatchNorm folded in, that make each channel; as shares of the
    layer's sum of norms, summed over the layers that make it (Li et al. 2017, with another norm).
    """
    values = {}
    for node, layer in network.layers():
        weight = layer.folded()[0].double()
        if layer.form.kind == "conv_transpose2d":
            count = groups_of(layer)
            weight = weight.view(count, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
        values[str(node.target)] = weight.flatten(1).norm(dim=1)
    return _summed(groups, values, "makes")


def _summed(groups: Sequence[ChannelGroup], values: Mapping[str, Tensor], role: Role) -> Scores:
    shares = {name: value / value.sum().clamp_min(1e-300) for name, value in values.items()}
    scores = {}
    for group in groups:
        total = torch.zeros(group.size, dtype=torch.float64)
        for member in group.members:
            if member.role == role:
                total += shares[member.layer][torch.tensor(member.channels)].sum(1)
        scores[group.name] = total
    return scores
