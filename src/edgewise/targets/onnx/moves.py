"""Operations that only move values: shapes, slices, padding, max pooling."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import fx

from edgewise.graph.calls import argument, pair, source_shape
from edgewise.targets.calls import (
    ALIASES,
    RESHAPES,
    order_of,
    piece_of,
    selected,
    slice_of,
    zeros_around,
)
from edgewise.targets.onnx.compute import window
from edgewise.targets.onnx.writing import Write, Writing, unsupported

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
    order = order_of(node)
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


def _pad(writing: Writing, node: fx.Node) -> str:
    before, after = zeros_around(node, unsupported)
    inputs = [writing.input(node), writing.integers(node, "pads", before + after)]
    return writing.builder.node("Pad", inputs, writing.name(node))


def _slice(writing: Writing, node: fx.Node) -> str:
    axis, start, end, step = slice_of(node, unsupported)
    bounds = (start, _END if end is None else end, step)
    return _cut(writing, node, writing.input(node), axis, bounds)


def _cut(
    writing: Writing, node: fx.Node, source: str, axis: int, bounds: tuple[int, int, int]
) -> str:
    roles = zip(("starts", "ends", "axes", "steps"), (*bounds[:2], axis, bounds[2]), strict=True)
    inputs = [writing.integers(node, role, [value]) for role, value in roles]
    return writing.builder.node("Slice", [source, *inputs], writing.name(node))


def _select(writing: Writing, node: fx.Node) -> str:
    axis, index = selected(node, len(source_shape(node)), unsupported)
    place = writing.builder.constant(f"{writing.name(node)}.index", np.asarray(index, np.int64))
    return writing.builder.node(
        "Gather", [writing.input(node), place], writing.name(node), axis=axis
    )


def _piece(writing: Writing, node: fx.Node) -> str:
    """One of the parts that a tensor is split into, as the slice that it is."""
    axis, start, end = piece_of(node, unsupported)
    whole = writing.names[node.all_input_nodes[0]]
    return _cut(writing, node, whole, axis, (start, end, 1))


MOVES: Mapping[str, Write] = {
    **dict.fromkeys(ALIASES, _alias),
    **dict.fromkeys(RESHAPES, _reshape),
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
