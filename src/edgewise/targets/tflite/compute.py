"""Operations that compute, without weights, in float: activations, arithmetic, means."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import fx

from edgewise.graph.calls import argument
from edgewise.targets.calls import BOUNDED, bounds, kind_of, reduced_axes, refuse_scaled
from edgewise.targets.tflite.builder import Value, options
from edgewise.targets.tflite.layout import physical_axis
from edgewise.targets.tflite.pooling import average_pool
from edgewise.targets.tflite.writing import (
    NONE,
    RELU6,
    Write,
    Writing,
    shape_of,
    unsupported,
)

_HALF_PIXELS = {"halfPixelCenters": True, "alignCorners": False}
_CORNERS = {"halfPixelCenters": False, "alignCorners": True}


def _simple(operator: str, kind: str | None = None) -> Write:
    def write(writing: Writing, node: fx.Node) -> Value:
        settings = None if kind is None else options(kind)
        return writing.add(operator, [writing.floats(node)], node.name, shape_of(node), settings)

    return write


def _binary(operator: str, kind: str, order: tuple[int, int] = (0, 1)) -> Write:
    def write(writing: Writing, node: fx.Node) -> Value:
        refuse_scaled(node, unsupported)
        inputs = [writing.floats(node, index) for index in order]
        refuse_ranks(node, inputs)
        settings = options(kind)
        if hasattr(settings, "fusedActivationFunction"):
            settings.fusedActivationFunction = writing.fused(node)
        return writing.add(operator, inputs, node.name, shape_of(node), settings)

    return write


def refuse_ranks(node: fx.Node, inputs: Sequence[Value]) -> None:
    """Raise UnsupportedOpError where fewer axes would meet others than in the network."""
    rank = len(node.meta["shape"])
    if any(len(value.shape) not in (0, rank) for value in inputs) and rank == 4:
        raise unsupported(node, "of tensors with unlike axes")


def _bounded(writing: Writing, node: fx.Node) -> Value:
    low, high = bounds(node)
    known = {(0.0, None): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
    value, shape = writing.floats(node), shape_of(node)
    if (low, high) in known:
        return writing.add(known[low, high], [value], node.name, shape)
    both = (("MAXIMUM", low), ("MINIMUM", high))
    given = [(operator, bound) for operator, bound in both if bound is not None]
    for place, (operator, bound) in enumerate(given):
        name = node.name if place == len(given) - 1 else f"{node.name}.low"
        limit = writing.value(node, float(bound), operator.lower())
        value = writing.add(operator, [value, limit], name, shape, options("MaximumMinimum"))
    return value


def _leaky_relu(writing: Writing, node: fx.Node) -> Value:
    settings = options("LeakyRelu", alpha=float(argument(node, 1, "negative_slope", 0.01)))
    return writing.add("LEAKY_RELU", [writing.floats(node)], node.name, shape_of(node), settings)


def _elu(writing: Writing, node: fx.Node) -> Value:
    if argument(node, 1, "alpha", 1) != 1 or len(node.args) > 2 or node.kwargs:
        raise unsupported(node, "with an alpha of its own")
    return _simple("ELU")(writing, node)


def _gelu(writing: Writing, node: fx.Node) -> Value:
    settings = options("Gelu", approximate=node.kwargs.get("approximate", "none") == "tanh")
    return writing.add("GELU", [writing.floats(node)], node.name, shape_of(node), settings)


def _prelu(writing: Writing, node: fx.Node) -> Value:
    shape, slope = shape_of(node), node.args[1]
    if not isinstance(slope, fx.Node) or slope.op != "get_attr" or len(shape) != 4:
        raise unsupported(node, "of anything but images")
    values = writing.constant_of(slope).reshape(1, 1, -1)  # a channel each, the last axis here
    slopes = writing.builder.constant(f"{slope.name}.slopes", values)
    return writing.add("PRELU", [writing.floats(node), slopes], node.name, shape)


def _hardsigmoid(writing: Writing, node: fx.Node) -> Value:
    three = writing.value(node, 3.0, "three")
    settings = options("Add", fusedActivationFunction=RELU6)
    shape, inputs = shape_of(node), [writing.floats(node), three]
    shifted = writing.add("ADD", inputs, f"{node.name}.shifted", shape, settings)
    inputs = [shifted, writing.value(node, 1 / 6, "sixth")]
    settings = options("Mul", fusedActivationFunction=NONE)
    return writing.add("MUL", inputs, node.name, shape, settings)


def _along_axis(operator: str, kind: str, **given: float) -> Write:
    """An operator that works along the last axis, in whichever of the layouts that is the one."""

    def write(writing: Writing, node: fx.Node) -> Value:
        value, name = writing.floats(node), node.name
        rank = len(value.shape)
        axis = int(argument(node, 1, "dim", -1)) % rank
        settings = options(kind, **given)
        if physical_axis(axis, rank) == rank - 1:
            return writing.add(operator, [value], name, value.shape, settings)
        order = [place for place in range(rank) if place != axis] + [axis]
        order = order if rank != 4 else _with_last(physical_axis(axis, rank))
        turned = writing.transpose(value, f"{name}.turned", order)
        result = writing.add(operator, [turned], f"{name}.along", turned.shape, settings)
        return writing.transpose(result, name, np.argsort(order).tolist())

    return write


def _with_last(place: int) -> list[int]:
    return [axis for axis in range(4) if axis != place] + [place]


def _cat(writing: Writing, node: fx.Node) -> Value:
    parts = node.args[0]
    assert isinstance(parts, Sequence)
    inputs = [writing.value(node, part, f"part_{index}") for index, part in enumerate(parts)]
    wide = [writing.widen(value, f"{node.name}.{index}") for index, value in enumerate(inputs)]
    return write_cat(writing, node, wide, node.name)


def write_cat(
    writing: Writing, node: fx.Node, inputs: Sequence[Value], name: str, **codes: Any
) -> Value:
    """Tensors one after the other along an axis of the network's."""
    shape, axis = shape_of(node), int(argument(node, 1, "dim", 0))
    rank = len(shape)
    if axis % rank == 0:
        raise unsupported(node, "of the batch")
    if any(len(value.shape) != rank for value in inputs):
        raise unsupported(node, "of tensors with unlike axes")
    place = physical_axis(axis, rank)
    settings = options("Concatenation", axis=place, fusedActivationFunction=NONE)
    return writing.add("CONCATENATION", inputs, name, shape, settings, **codes)


def _reduce(operator: str) -> Write:
    def write(writing: Writing, node: fx.Node) -> Value:
        return write_reduction(writing, node, operator, writing.floats(node), node.name)

    return write


def write_reduction(  # noqa: PLR0913 - what a reduction is made of
    writing: Writing, node: fx.Node, operator: str, value: Value, name: str, **codes: Any
) -> Value:  # fmt: skip
    """A mean or a sum over axes of the network's; codes: the steps of its result, where it is."""
    rank = len(value.shape)
    if kind_of(node) == "adaptive_avg_pool2d":
        over, keep = [2, 3], True
    else:
        over = reduced_axes(node, rank, unsupported)
        keep = bool(argument(node, 2, "keepdim", False))
    places = sorted(physical_axis(axis, rank) for axis in over)
    axes = writing.integers("axes." + "".join(map(str, places)), places)
    straight = keep or rank != 4 or places == [1, 2]  # else what is left has to be turned
    shape = [1 if axis in places else size for axis, size in enumerate(value.shape)]
    if straight and not keep:
        shape = [size for axis, size in enumerate(value.shape) if axis not in places]
    settings = options("Reducer", keepDims=keep or not straight)
    own = name if straight else f"{name}.kept"
    result = writing.add(operator, [value, axes], own, shape, settings, **codes)
    return result if straight else writing.reshape(result, name, node.meta["shape"])


def _upsample_bilinear(writing: Writing, node: fx.Node) -> Value:
    shape, before = shape_of(node), node.all_input_nodes[0].meta["shape"][2:]
    given: Any = node.args[3] if len(node.args) > 3 else None
    factors = [after / int(size) for after, size in zip(shape[1:3], before, strict=True)]
    if given is not None and [float(factor) for factor in given] != factors:
        raise unsupported(node, f"by {given}, which gives no whole number of pixels,")
    settings = options("ResizeBilinear", **(_CORNERS if node.args[2] else _HALF_PIXELS))
    inputs = [writing.floats(node), writing.integers(f"{node.name}.size", shape[1:3])]
    return writing.add("RESIZE_BILINEAR", inputs, node.name, shape, settings)


def _matmul(writing: Writing, node: fx.Node) -> Value:
    inputs = [writing.floats(node, index) for index in (0, 1)]
    rank = len(node.meta["shape"])
    if rank < 3 or any(len(value.shape) != rank for value in inputs):
        raise unsupported(node, "of tensors with unlike axes")
    shape_of(node)
    if rank == 4:
        inputs = [writing.as_network(v, f"{node.name}.{i}") for i, v in enumerate(inputs)]
    settings = options("BatchMatMul", adjX=False, adjY=False)
    shape = [1, *node.meta["shape"][1:]]
    product = writing.add("BATCH_MATMUL", inputs, f"{node.name}.product", shape, settings)
    return writing.as_model(product, node.name)


def _averages(kind: str) -> Callable[[Writing, fx.Node], Value]:
    return partial(average_pool, kind=kind)


def _adaptive(writing: Writing, node: fx.Node) -> Value:
    if list(node.meta["shape"][2:]) == [1, 1]:
        return _reduce("MEAN")(writing, node)
    return average_pool(writing, node, "adaptive_avg_pool2d")


COMPUTE: Mapping[str, Write] = {
    "add": _binary("ADD", "Add"),
    "sub": _binary("SUB", "Sub"),
    "rsub": _binary("SUB", "Sub", order=(1, 0)),
    "mul": _binary("MUL", "Mul"),
    "div": _binary("DIV", "Div"),
    "maximum": _binary("MAXIMUM", "MaximumMinimum"),
    "minimum": _binary("MINIMUM", "MaximumMinimum"),
    "pow": _binary("POW", "Pow"),
    "matmul": _matmul,
    "cat": _cat,
    **dict.fromkeys(BOUNDED, _bounded),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "prelu": _prelu,
    "sigmoid": _simple("LOGISTIC"),
    "tanh": _simple("TANH"),
    "hardsigmoid": _hardsigmoid,
    "hardswish": _simple("HARD_SWISH"),
    "exp": _simple("EXP"),
    "log": _simple("LOG"),
    "sqrt": _simple("SQRT"),
    "abs": _simple("ABS"),
    "neg": _simple("NEG"),
    "gelu": _gelu,
    "softmax": _along_axis("SOFTMAX", "Softmax", beta=1.0),
    "log_softmax": _along_axis("LOG_SOFTMAX", "LogSoftmax"),
    "mean": _reduce("MEAN"),
    "sum": _reduce("SUM"),
    "adaptive_avg_pool2d": _adaptive,
    "avg_pool2d": _averages("avg_pool2d"),
    "upsample_bilinear2d": _upsample_bilinear,
}
