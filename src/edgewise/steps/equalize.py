"""Make the ranges of neighbouring layers' channels equal before they are quantized."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, operation
from edgewise.progress import Progress
from edgewise.quant.equalize import Pair, balance, blocks, divided, multiplied, peaks, unblocks
from edgewise.steps.step import Step

# f(s x) = s f(x) for each channel's own s > 0; relu6, hardtanh and every smooth activation are not.
_HOMOGENEOUS = frozenset(
    {
        "relu", "leaky_relu", "prelu", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
        "upsample_nearest2d", "upsample_bilinear2d", "dropout", "identity", "contiguous", "clone",
        "alias", "detach",
    }
)  # fmt: skip
_RESHAPES = frozenset({"flatten", "view", "reshape", "_unsafe_view", "squeeze"})
_PADS = frozenset({"pad", "constant_pad_nd"})


@dataclass(frozen=True)
class Equalize(Step):
    """Cross-layer equalization: the same function, with channels of like range.

    It acts on pairs of layers with nothing between them but what is positively homogeneous (ReLU,
    leaky ReLU, pooling, dropout, ...) and read once. A layer that still has its BatchNorm is left
    as it is: put Fold before. sweeps: over all pairs, at most.
    """

    name: ClassVar[str] = "equalize"

    sweeps: int = 40

    def __post_init__(self) -> None:
        if self.sweeps < 1:
            raise RecipeError("equalize needs at least one sweep.")

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        if network.ranges:
            raise RecipeError(
                "equalize changes the ranges that calibrate has seen; put it before calibrate."
            )
        found = [(node, layer) for node, layer in network.layers() if layer.batch_norm is None]
        index = {node: position for position, (node, _) in enumerate(found)}
        pairs = tuple(_pairs(network.module, index))
        tables = [peaks(layer.form, layer.weight) for _, layer in found]
        factors = balance(tables, pairs, self.sweeps)
        first = {pair.first: values for pair, values in zip(pairs, factors, strict=True)}
        second = {
            pair.second: (values, pair.spread) for pair, values in zip(pairs, factors, strict=True)
        }
        for position, (node, layer) in enumerate(found):
            if position in first or position in second:
                scaled = _scaled(layer, first.get(position), second.get(position))
                network.module.set_submodule(str(node.target), scaled)
        network.module.recompile()
        return network


def _pairs(module: fx.GraphModule, index: dict[fx.Node, int]) -> Iterator[Pair]:
    for node in index:
        current, spread = node, int(_has_channels(node))
        while spread and len(current.users) == 1:
            (reader,) = current.users
            if reader in index:
                yield Pair(index[node], index[reader], spread)
                break
            spread *= _spread(module, reader)
            current = reader


def _has_channels(node: fx.Node) -> bool:
    """Whether channels lie along axis 1: of maps and of plain features."""
    return len(_shape(node)) in (2, 4)


def _shape(node: fx.Node) -> tuple[Any, ...]:
    return tuple(node.meta.get("shape") or ())


def _spread(module: fx.GraphModule, node: fx.Node) -> int:
    """How many channels of its output a node makes of each of its input, scaled alike; 0: none."""
    kind = operation(module, node)
    before, after = _shape(node.all_input_nodes[0]), _shape(node)
    if kind in _HOMOGENEOUS:
        return 1
    if kind == "mean":
        return int(len(before) == 4 and _axes(node) == [2, 3])
    if kind in _PADS:
        return int(_pads_sides_with_nothing(node))
    if kind in _RESHAPES and len(after) == 2 and None not in before[1:] and len(before) > 1:
        size = math.prod(before[2:])
        return size if after[1] == before[1] * size else 0
    return 0


def _axes(node: fx.Node) -> list[int]:
    arguments: tuple[Any, ...] = (*node.args, *node.kwargs.values())
    given = arguments[1] if len(arguments) > 1 else None
    return sorted(axis % 4 for axis in given) if isinstance(given, (list, tuple)) else []


def _pads_sides_with_nothing(node: fx.Node) -> bool:
    """Whether only height and width are padded, and that with zeros or with the map itself."""
    pads: Any = node.args[1]
    numbers = [entry for entry in (*node.args[2:], *node.kwargs.values())
               if isinstance(entry, (int, float))]  # fmt: skip
    return len(pads) <= 4 and len(node.meta["shape"]) == 4 and not any(numbers)


def _scaled(
    layer: WeightedLayer, outputs: Tensor | None, inputs: tuple[Tensor, int] | None
) -> WeightedLayer:
    """A new layer, its weights multiplied in float64 and rounded once."""
    parts, bias = blocks(layer.form, layer.weight.detach().double()), layer.bias
    if outputs is not None:
        parts = divided(parts, outputs)
        bias = None if bias is None else _fixed(bias.detach().double() / outputs)
    if inputs is not None:
        parts = multiplied(parts, *inputs)
    return WeightedLayer(layer.form, _fixed(unblocks(layer.form, parts, layer.weight.shape)), bias)


def _fixed(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.float().contiguous(), requires_grad=False)
