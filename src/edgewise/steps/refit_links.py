"""What links that stay take over from those that went."""

from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from edgewise.data.dataset import Split
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.graph.patches import sample
from edgewise.graph.walk import Walk
from edgewise.importance.refit import damped, refitted
from edgewise.progress import Progress

_BATCH = 64
_POSITIONS = 32_768  # of a layer's output that a refit looks at, at most

Masks = Mapping[fx.Node, Tensor]


def pruned(layer: WeightedLayer, weight: Tensor, bias: Tensor | None) -> WeightedLayer:
    """The layer with other weights; its BatchNorm is the same."""
    made = WeightedLayer(layer.form, _fixed(weight), None if bias is None else _fixed(bias))
    made.batch_norm = layer.batch_norm
    return made


def _fixed(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.float(), requires_grad=False)


@torch.no_grad()
def refit_weights(network: Network, split: Split, kept: Masks, progress: Progress) -> Network:
    """Every layer in the order they run, so that it gives what it gave before, from inputs as the
    layers before it now leave them: least squares by unit over the links that stay, and the bias.

    A layer that is called twice is refitted where it is called first. Memory holds what is alive
    between two layers, for all images of `split`, twice.
    """
    batches = [torch.from_numpy(batch) for batch in split.batches(_BATCH, network.contract)]
    changed = network.copy()
    ours = {str(node.target): node for node, _ in changed.layers()}
    before, after = Walk(network.module, batches), Walk(changed.module, batches)
    known: dict[int, WeightedLayer] = {}
    for done, (node, mask) in enumerate(kept.items(), 1):
        layer = module_of(network.module, node)
        assert isinstance(layer, WeightedLayer)
        inputs = list(after.inputs(ours[str(node.target)]))
        wanted = [layer.form.run(one, layer.weight, layer.bias) for one in before.inputs(node)]
        if id(layer.weight) not in known:
            known[id(layer.weight)] = _refit(layer, mask, list(zip(inputs, wanted, strict=True)))
        changed.module.set_submodule(str(node.target), known[id(layer.weight)])
        progress("refit links", done, len(kept))
    return changed


def _refit(
    layer: WeightedLayer, mask: Tensor, batches: list[tuple[Tensor, Tensor]]
) -> WeightedLayer:
    read, wanted = sample(layer.form, layer.weight.shape, batches, _POSITIONS, seed=0)
    weights, biases = [], []
    for rows, goals, stay in zip(read, wanted, _grouped(mask, len(read)), strict=True):
        centre, goal = rows.double().mean(0), goals.double().mean(0)
        rows, goals = rows.double() - centre, goals.double() - goal
        found = refitted(goals.T @ rows / len(rows), damped(rows.T @ rows / len(rows)), stay)
        weights.append(found)
        biases.append(goal - found @ centre)
    return pruned(layer, torch.cat(weights).view(layer.weight.shape), torch.cat(biases))


def _grouped(mask: Tensor, groups: int) -> Tensor:
    return mask.reshape(groups, len(mask) // groups, -1)


@torch.no_grad()
def refit_biases(network: Network, kept: Masks, means: Mapping[fx.Node, Tensor]) -> Network:
    """Biases take over the mean of what went; means: of every link's input."""
    changed = network.copy()
    for node, mask in kept.items():
        layer = module_of(network.module, node)
        assert isinstance(layer, WeightedLayer)
        gone = (layer.weight.double() * means[node] * ~mask).flatten(1).sum(1)
        bias = gone if layer.bias is None else gone + layer.bias.double()
        changed.module.set_submodule(str(node.target), pruned(layer, layer.weight * mask, bias))
    return changed


@torch.no_grad()
def zeroed(network: Network, kept: Masks) -> Network:
    """The links that went are zero, and nothing else changes."""
    changed = network.copy()
    for node, mask in kept.items():
        layer = module_of(network.module, node)
        assert isinstance(layer, WeightedLayer)
        changed.module.set_submodule(
            str(node.target), pruned(layer, layer.weight * mask, layer.bias)
        )
    return changed
