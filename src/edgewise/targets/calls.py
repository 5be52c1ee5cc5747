"""What the calls that targets write were given, and which of them no target writes.

`refuse` makes a target's own error of a call and of what about it cannot be written.
"""

from collections.abc import Callable
from typing import Any

from torch import fx

from edgewise.errors import UnsupportedOpError
from edgewise.graph.calls import SPLITS, argument, split_sizes
from edgewise.quant.integer import CLIPS, clip_bounds

Refuse = Callable[[fx.Node, str], UnsupportedOpError]

# Operations that are one for every target.
ALIASES = (
    "dropout", "contiguous", "clone", "alias", "detach", "identity", *SPLITS,
)  # fmt: skip
BOUNDED = (*CLIPS, "clamp", "clamp_min", "clamp_max")
RESHAPES = ("flatten", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "unflatten")


def kind_of(node: fx.Node) -> str:
    """The operation's name, without its name space and overload."""
    return str(node.target).split(".")[1]


def bounds(node: fx.Node) -> tuple[Any, Any]:
    """Between which values a clip or a clamp keeps its input; None where it is open."""
    kind = kind_of(node)
    if kind in CLIPS:
        return clip_bounds(node, kind)
    if kind == "clamp_max":
        return None, node.args[1]
    return argument(node, 1, "min", None), argument(node, 2, "max", None)


def refuse_scaled(node: fx.Node, refuse: Refuse) -> None:
    """Raise for arithmetic on two tensors with a factor or a rounding of its own."""
    if argument(node, 2, "alpha", 1) != 1 or node.kwargs.get("rounding_mode"):
        raise refuse(node, f"with {[*node.args[2:], *node.kwargs.items()]}")


def order_of(node: fx.Node) -> list[int]:
    """The order in which a permutation or a transposition leaves the axes."""
    rank = len(node.meta["shape"])
    if kind_of(node) == "permute":
        return [int(axis) % rank for axis in argument(node, 1, "dims", ())]
    order = list(range(rank))
    one, other = (int(argument(node, index, "", 0)) % rank for index in (1, 2))
    order[one], order[other] = order[other], order[one]
    return order


def reduced_axes(node: fx.Node, rank: int, refuse: Refuse) -> list[int]:
    """The axes, in order, that a mean or a sum is over; raises for the batch."""
    dims = argument(node, 1, "dim", None)
    dims = range(rank) if dims is None else [dims] if isinstance(dims, int) else dims
    axes = sorted({int(axis) % rank for axis in dims})
    if 0 in axes:
        raise refuse(node, "over the batch")
    return axes


def zeros_around(node: fx.Node, refuse: Refuse) -> tuple[list[int], list[int]]:
    """How many zeros a pad puts before and after, axis by axis; raises for anything but zeros."""
    sizes = [int(size) for size in argument(node, 1, "pad", ())]
    has_mode = kind_of(node) == "pad"
    mode = argument(node, 2, "mode", "constant") if has_mode else "constant"
    value = argument(node, 3 if has_mode else 2, "value", 0)
    if mode != "constant" or value not in (0, None):
        raise refuse(node, "with anything but constant zeros")
    rank = len(node.meta["shape"])
    before, after = [0] * rank, [0] * rank
    for index in range(len(sizes) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = sizes[2 * index : 2 * index + 2]
    return before, after


def slice_of(node: fx.Node, refuse: Refuse) -> tuple[int, int, int | None, int]:
    """Axis, start, end (None: to the last) and step of a slice; raises for bounds that are not
    known beforehand.
    """
    start, end = argument(node, 2, "start", None), argument(node, 3, "end", None)
    if isinstance(start, fx.Node) or isinstance(end, fx.Node):
        raise refuse(node, "with bounds that depend on the input's size")
    axis, step = int(argument(node, 1, "dim", 0)), int(argument(node, 4, "step", 1))
    return axis, int(start or 0), None if end is None else int(end), step


def selected(node: fx.Node, rank: int, refuse: Refuse) -> tuple[int, int]:
    """Axis and place of what is selected of a tensor; raises for an image of the batch."""
    axis, index = int(argument(node, 1, "dim", 0)), int(argument(node, 2, "index", 0))
    if axis % rank == 0:
        raise refuse(node, "of one image in the batch")
    return axis, index


def piece_of(node: fx.Node, refuse: Refuse) -> tuple[int, int, int]:
    """Axis, start and end of one of the parts that a tensor is split into."""
    whole = node.all_input_nodes[0]
    if kind_of(whole) not in SPLITS:
        raise refuse(whole, "with several outputs")
    axis, sizes = split_sizes(whole)
    if axis == 0:
        raise refuse(whole, "of the batch")
    position = int(str(node.args[1]))
    start = sum(sizes[:position])
    return axis, start, start + sizes[position]
