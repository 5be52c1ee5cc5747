"""Operations that only move values: shapes, slices, padding. Codes stay what they are."""

from collections.abc import Mapping

from torch import fx

from edgewise.targets.calls import (
    ALIASES,
    RESHAPES,
    order_of,
    piece_of,
    selected,
    slice_of,
    zeros_around,
)
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
    order = order_of(node)
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
    before, after = zeros_around(node, unsupported)
    if min(*before, *after) < 0:
        raise unsupported(node, "with anything but constant zeros")
    around = [[0, 0] for _ in before]
    for axis, sizes in enumerate(zip(before, after, strict=True)):
        around[physical_axis(axis, len(around))] = list(sizes)
    pads = writing.integers(f"{node.name}.pads", around)
    inputs = [writing.input(node), pads]
    return writing.move("PAD", inputs, node.name, shape_of(node), options("Pad"))


def _slice(writing: Writing, node: fx.Node) -> Value:
    axis, start, end, step = slice_of(node, unsupported)
    size = node.all_input_nodes[0].meta["shape"][axis]
    if size is None:
        if start == 0 and (end is None or end >= 2**31) and step == 1:
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
    rank = len(source.shape)
    axis, index = selected(node, rank, unsupported)
    size = source.shape[physical_axis(axis, rank)]
    bounds = (index % size, index % size + 1, 1)
    kept = _cut(writing, f"{node.name}.kept", source, axis, bounds)
    return writing.reshape(kept, node.name, node.meta["shape"])


def _piece(writing: Writing, node: fx.Node) -> Value:
    """One of the parts that a tensor is split into, as the slice that it is."""
    axis, start, end = piece_of(node, unsupported)
    whole = writing.values[node.all_input_nodes[0]]
    return _cut(writing, node.name, whole, axis, (start, end, 1))


MOVES: Mapping[str, Write] = {
    **dict.fromkeys(ALIASES, _alias),
    **dict.fromkeys(RESHAPES, _reshape),
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
