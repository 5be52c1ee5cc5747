"""What a call in a graph was given."""

from collections.abc import Sequence
from typing import Any

from torch import fx

Shape = tuple[int | None, ...]

SPLITS = ("chunk", "split", "split_with_sizes")


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """An argument of a call, by place or by name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def pair(value: Any) -> list[int]:
    """Height and width of a setting that may be one number for both."""
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)]
    return values * 2 if len(values) == 1 else values


def source_shape(node: fx.Node) -> Shape:
    """The shape of what a node reads first, the batch axis None."""
    shape: Shape = node.all_input_nodes[0].meta["shape"]
    return shape


def split_sizes(node: fx.Node) -> tuple[int, list[int]]:
    """The axis that one of SPLITS is along, and the size of every part; the batch counts as 0."""
    shape, given = source_shape(node), node.args[1]
    axis = int(argument(node, 2, "dim", 0)) % len(shape)
    if isinstance(given, (list, tuple)):
        return axis, [int(str(size)) for size in given]
    total, number = int(shape[axis] or 0), int(str(given))
    each = -(-total // number) if "chunk" in str(node.target) else number
    return axis, [min(each, total - start) for start in range(0, total, each)]
