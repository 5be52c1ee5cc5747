"""Numbers of channels that are written into a graph's calls, made those of the smaller network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from edgewise.graph.calls import argument, split_sizes
from edgewise.graph.channels.flow import shape_of
from edgewise.graph.channels.masks import Mask, Part


@dataclass(frozen=True)
class _Around:
    """What is kept of a node's first input and of its output; None where nothing is removed."""

    before: Part | None
    after: Part | None


def rewrite(node: fx.Node, kind: str, before: Part | None, after: Part | None) -> None:
    """Change a call's numbers; shapes in the node's meta are still those of the whole network."""
    if kind in _REWRITES:
        _REWRITES[kind](node, _Around(before, after))


def _sizes(node: fx.Node, around: _Around) -> None:
    """view(x, sizes) and the like."""
    if around.after is not None:
        sizes: Any = node.args[1]
        node.args = (node.args[0], _changed(sizes, around.after.axis, around.after), *node.args[2:])


def _unflatten(node: fx.Node, around: _Around) -> None:
    source, dim, sizes = node.args[:3]
    if around.after is not None:
        assert isinstance(source, fx.Node)
        first = int(str(dim)) % len(shape_of(source))
        node.args = (source, dim, _changed(sizes, around.after.axis - first, around.after))


def _changed(sizes: Any, place: int, part: Part) -> list[Any]:
    result = list(sizes)
    if 0 <= place < len(result) and result[place] != -1:
        result[place] = part.count
    return result


def _slice(node: fx.Node, around: _Around) -> None:
    dim, part = int(argument(node, 1, "dim", 0)), around.before
    if part is None or dim % len(shape_of(node)) != part.axis:
        return
    start, end = argument(node, 2, "start"), argument(node, 3, "end")
    first, last, _ = slice(start, end).indices(len(part.kept))
    before = int(part.kept[:first].sum())
    node.args = (node.args[0], dim, before, before + int(part.kept[first:last].sum()))
    node.kwargs = {}


def _split(node: fx.Node, around: _Around) -> None:
    """Any way to split becomes one by sizes, which need not be equal any more."""
    axis, sizes = split_sizes(node)
    part = around.before
    if part is None or axis != part.axis:
        return
    masks: list[Mask] = np.split(part.kept, np.cumsum(sizes)[:-1])
    node.target = torch.ops.aten.split_with_sizes.default
    node.args = (node.args[0], [int(mask.sum()) for mask in masks], axis)
    node.kwargs = {}


_REWRITES: Mapping[str, Callable[[fx.Node, _Around], None]] = {
    "view": _sizes, "reshape": _sizes, "_unsafe_view": _sizes, "expand": _sizes,
    "unflatten": _unflatten, "slice": _slice,
    "chunk": _split, "split": _split, "split_with_sizes": _split,
}  # fmt: skip
