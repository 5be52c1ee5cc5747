"""Operations that only move values: shapes, slices, padding, max pooling."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import fx

from edgewise.graph.calls import SPLITS, argument, pair, source_shape, split_sizes
from edgewise.targets.onnx.compute import window
from edgewise.targets.onnx.writing import (
    Write,
    Writing,
    unsupported,
)

_END = int(np.iinfo(np.int64).max)


def _alias(writing: Writing, node: fx.Node) -> str:
    return writing.input(node)


def _max_pool(writing: Writing, node: fx.Node) -> str:
    dilation = pair(argument(node, 4, "dilation", 1))
    return writing.builder.node(
        "MaxPool", [writing.input(node)], writing.name(node), **window(node, 5), dilations=dilation
    )


def _reshape(writing: Writing, node: fx.Node) -> str:
    shape = node.meta["shape"]
    if shape[0] is not None or None in shape[1:]:
        raise unsupported(node, f"to {shape}, which does not keep the batch axis first,")
    target = writing.integers(node, "shape", [-1, *shape[1:]])
    return writing.builder.node("Reshape", [writing.input(node), target], writing.name(node))


def _transpose(writing: Writing, node: fx.Node) -> str:
    rank = len(node.meta["shape"])
    order = list(range(rank))
    if str(node.target).startswith("aten.permute"):
        order = [int(axis) % rank for axis in argument(node, 1, "dims", ())]
    else:
        one, other = (int(argument(node, index, "", 0)) % rank for index in (1, 2))
        order[one], order[other] = order[other], order[one]
    return writing.builder.node("Transpose", [writing.input(node)], writing.name(node), perm=order)


def _expand(writing: Writing, node: fx.Node) -> str:
    if node.meta["shape"][0] is None and source_shape(node)[0] is not None:
        raise unsupported(node, "over the batch")
    shape = [1 if size is None else int(size) for size in node.meta["shape"]]
    inputs = [writing.input(node), writing.integers(node, "shape", shape)]
    return writing.builder.node("Expand", inputs, writing.name(node))


def _pixel_shuffle(writing: Writing, node: fx.Node) -> str:
    factor: Any = node.args[1]
    return writing.builder.node(
        "DepthToSpace", [writing.input(node)], writing.name(node), blocksize=factor, mode="CRD"
    )


def _upsample_nearest(writing: Writing, node: fx.Node) -> str:
    before, after = source_shape(node)[2:], node.meta["shape"][2:]
    factors = [1.0, 1.0, *(a / int(b or 1) for a, b in zip(after, before, strict=True))]
    scales = writing.builder.constant(
        f"{writing.name(node)}.scales", np.asarray(factors, np.float32)
    )
    return writing.builder.node(
        "Resize",
        [writing.input(node), "", scales],
        writing.name(node),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def paddings(node: fx.Node) -> tuple[list[int], list[int]]:
    """How many zeros a pad puts before and after, axis by axis; raises UnsupportedOpError for
    anything but zeros.
    """
    pads = [int(size) for size in argument(node, 1, "pad", ())]
    has_mode = str(node.target).startswith("aten.pad")
    mode = argument(node, 2, "mode", "constant") if has_mode else "constant"
    value = argument(node, 3 if has_mode else 2, "value", 0)
    if mode != "constant" or value not in (0, None):
        raise unsupported(node, "with anything but constant zeros")
    rank = len(node.meta["shape"])
    before, after = [0] * rank, [0] * rank
    for index in range(len(pads) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = pads[2 * index], pads[2 * index + 1]
    return before, after


def _pad(writing: Writing, node: fx.Node) -> str:
    before, after = paddings(node)
    inputs = [writing.input(node), writing.integers(node, "pads", before + after)]
    return writing.builder.node("Pad", inputs, writing.name(node))


def _slice(writing: Writing, node: fx.Node) -> str:
    axis = int(argument(node, 1, "dim", 0))
    start, end = argument(node, 2, "start", None), argument(node, 3, "end", None)
    step = int(argument(node, 4, "step", 1))
    if isinstance(start, fx.Node) or isinstance(end, fx.Node):
        raise unsupported(node, "with bounds that depend on the input's size")
    bounds = (int(start or 0), _END if end is None else int(end), step)
    return _cut(writing, node, writing.input(node), axis, bounds)


def _cut(
    writing: Writing, node: fx.Node, source: str, axis: int, bounds: tuple[int, int, int]
) -> str:
    roles = zip(("starts", "ends", "axes", "steps"), (*bounds[:2], axis, bounds[2]), strict=True)
    inputs = [writing.integers(node, role, [value]) for role, value in roles]
    return writing.builder.node("Slice", [source, *inputs], writing.name(node))


def _select(writing: Writing, node: fx.Node) -> str:
    axis, index = int(argument(node, 1, "dim", 0)), int(argument(node, 2, "index", 0))
    if axis % len(source_shape(node)) == 0:
        raise unsupported(node, "of one image in the batch")
    place = writing.builder.constant(f"{writing.name(node)}.index", np.asarray(index, np.int64))
    return writing.builder.node(
        "Gather", [writing.input(node), place], writing.name(node), axis=axis
    )


def _piece(writing: Writing, node: fx.Node) -> str:
    """One of the parts that a tensor is split into, as the slice that it is."""
    whole = node.all_input_nodes[0]
    position: Any = node.args[1]
    axis, sizes = _sizes(whole)
    start = sum(sizes[:position])
    return _cut(writing, node, writing.names[whole], axis, (start, start + sizes[position], 1))


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
    "max_pool2d": _max_pool,
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
