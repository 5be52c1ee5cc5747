"""Operations that only move values: shapes, slices, padding. Codes stay what they are."""

from collections.abc import Mapping
from typing import Any

from torch import fx

from edgewise.graph.calls import SPLITS, argument, split_sizes
from edgewise.targets.tflite.builder import Value, options
from edgewise.targets.tflite.layout import physical_axis, physical_order
from edgewise.targets.tflite.pooling import max_pool
from edgewise.targets.tflite.writing import Write, Writing, shape_of, unsupported


def _alias(writing: Writing, node: fx.Node) -> Value:
    return writing.input(node)


def _reshape(writing: Writing, node: fx.Node) -> Value:
    shape_of(node)
    return writing.reshape(writing.input(node), node.name, node.meta["shape"])


def _transpose(writing: Writing, node: fx.Node) -> Value:
    rank = len(node.meta["shape"])
    order = list(range(rank))
    if str(node.target).startswith("aten.permute"):
        order = [int(axis) % rank for axis in argument(node, 1, "dims", ())]
    else:
        one, other = (int(argument(node, index, "", 0)) % rank for index in (1, 2))
        order[one], order[other] = order[other], order[one]
    if order[0] != 0:
        raise unsupported(node, "of the batch axis")
    return writing.transpose(writing.input(node), node.name, physical_order(order))


def _expand(writing: Writing, node: fx.Node) -> Value:
    source = writing.input(node)
    if source.shape != shape_of(node) or node.all_input_nodes[0].meta["shape"][0] is not None:
        raise unsupported(node, f"to {tuple(node.meta['shape'])}")
    return source


def _pixel_shuffle(writing: Writing, node: fx.Node) -> Value:
    """The runtime takes a block's pixels before channels, the network after them."""
    factor, name = int(str(node.args[1])), node.name
    source = writing.input(node)
    one, height, width, channels = source.shape
    block = factor * factor
    split = [one, height, width, channels // block, block]
    value = writing.shaped(source, f"{name}.split", split)
    value = writing.transpose(value, f"{name}.turned", (0, 1, 2, 4, 3))
    value = writing.shaped(value, f"{name}.joined", source.shape)
    settings = options("DepthToSpace", blockSize=factor)
    return writing.move("DEPTH_TO_SPACE", [value], name, shape_of(node), settings)


def _upsample_nearest(writing: Writing, node: fx.Node) -> Value:
    shape = shape_of(node)
    size = writing.integers(f"{node.name}.size", shape[1:3])
    settings = options("ResizeNearestNeighbor", alignCorners=False, halfPixelCenters=False)
    inputs = [writing.input(node), size]
    return writing.move("RESIZE_NEAREST_NEIGHBOR", inputs, node.name, shape, settings)


def _pad(writing: Writing, node: fx.Node) -> Value:
    sizes = [int(size) for size in argument(node, 1, "pad", ())]
    has_mode = str(node.target).startswith("aten.pad")
    mode = argument(node, 2, "mode", "constant") if has_mode else "constant"
    value = argument(node, 3 if has_mode else 2, "value", 0)
    if mode != "constant" or value not in (0, None) or min(sizes, default=0) < 0:
        raise unsupported(node, "with anything but constant zeros")
    rank = len(node.meta["shape"])
    around = [[0, 0] for _ in range(rank)]
    for index in range(len(sizes) // 2):
        axis = physical_axis(rank - 1 - index, rank)
        around[axis] = sizes[2 * index : 2 * index + 2]
    pads = writing.integers(f"{node.name}.pads", around)
    inputs = [writing.input(node), pads]
    return writing.move("PAD", inputs, node.name, shape_of(node), options("Pad"))


def _slice(writing: Writing, node: fx.Node) -> Value:
    axis = int(argument(node, 1, "dim", 0))
    start, end = argument(node, 2, "start", None), argument(node, 3, "end", None)
    step = int(argument(node, 4, "step", 1))
    if isinstance(start, fx.Node) or isinstance(end, fx.Node):
        raise unsupported(node, "with bounds that depend on the input's size")
    size = node.all_input_nodes[0].meta["shape"][axis]
    if size is None:
        if start in (0, None) and (end is None or int(end) >= 2**31) and step == 1:
            return writing.input(node)
        raise unsupported(node, "of the batch")
    first, last, _ = slice(start, end).indices(int(size))
    return _cut(writing, node.name, writing.input(node), axis, (first, last, step))


def _cut(
    writing: Writing, name: str, source: Value, axis: int, bounds: tuple[int, int, int]
) -> Value:
    """A part of a tensor along one axis of the network's."""
    rank = len(source.shape)
    place = physical_axis(axis, rank)
    first, last, step = bounds
    starts, ends, steps = [0] * rank, list(source.shape), [1] * rank
    starts[place], ends[place], steps[place] = first, last, step
    others = sum(1 << index for index in range(rank) if index != place)
    roles = zip(("starts", "ends", "steps"), (starts, ends, steps), strict=True)
    inputs = [source, *(writing.integers(f"{name}.{role}", values) for role, values in roles)]
    shape = list(source.shape)
    shape[place] = len(range(first, last, step))
    settings = options("StridedSlice", beginMask=others, endMask=others)
    return writing.move("STRIDED_SLICE", inputs, name, shape, settings)


def _select(writing: Writing, node: fx.Node) -> Value:
    source = writing.input(node)
    axis, index = int(argument(node, 1, "dim", 0)), int(argument(node, 2, "index", 0))
    rank = len(source.shape)
    if axis % rank == 0:
        raise unsupported(node, "of one image in the batch")
    size = source.shape[physical_axis(axis, rank)]
    bounds = (index % size, index % size + 1, 1)
    kept = _cut(writing, f"{node.name}.kept", source, axis, bounds)
    return writing.reshape(kept, node.name, node.meta["shape"])


def _piece(writing: Writing, node: fx.Node) -> Value:
    """One of the parts that a tensor is split into, as the slice that it is."""
    whole = node.all_input_nodes[0]
    position: Any = node.args[1]
    axis, sizes = _sizes(whole)
    start = sum(sizes[:position])
    bounds = (start, start + sizes[position], 1)
    return _cut(writing, node.name, writing.values[whole], axis, bounds)


def _sizes(node: fx.Node) -> tuple[int, list[int]]:
    """Along which axis a tensor is split, and how long the parts are."""
    if str(node.target).split(".")[1] not in SPLITS:
        raise unsupported(node, "with several outputs")
    axis, sizes = split_sizes(node)
    if axis == 0:
        raise unsupported(node, "of the batch")
    return axis, sizes


MOVES: Mapping[str, Write] = {
    **dict.fromkeys(("dropout", "contiguous", "clone", "alias", "detach", "identity"), _alias),
    **dict.fromkeys(("chunk", "split", "split_with_sizes"), _alias),
    **dict.fromkeys(
        ("flatten", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "unflatten"),
        _reshape,
    ),
    "max_pool2d": max_pool,
    "permute": _transpose,
    "transpose": _transpose,
    "expand": _expand,
    "pixel_shuffle": _pixel_shuffle,
    "upsample_nearest2d": _upsample_nearest,
    "pad": _pad,
    "constant_pad_nd": _pad,
    "slice": _slice,
    "select": _select,
    "getitem": _piece,
}
