"""Operations that compute, without weights: activations, arithmetic, normalization, pooling."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import fx, nn

from edgewise.graph.calls import argument, pair, source_shape
from edgewise.graph.network import module_of
from edgewise.targets.calls import BOUNDED, bounds, reduced_axes, refuse_scaled
from edgewise.targets.onnx.writing import Write, Writing, unsupported


def _simple(operator: str, **attributes: Any) -> Write:
    def write(writing: Writing, node: fx.Node) -> str:
        return writing.builder.node(
            operator, [writing.input(node)], writing.name(node), **attributes
        )

    return write


def _with_argument(operator: str, attribute: str, default: float) -> Write:
    """An operation of one number besides its input, such as the slope of a leaky ReLU."""

    def write(writing: Writing, node: fx.Node) -> str:
        setting = {attribute: float(argument(node, 1, attribute, default))}
        return writing.builder.node(operator, [writing.input(node)], writing.name(node), **setting)

    return write


def _binary(operator: str, order: tuple[int, int] = (0, 1)) -> Write:
    def write(writing: Writing, node: fx.Node) -> str:
        refuse_scaled(node, unsupported)
        inputs = [writing.input(node, index) for index in order]
        return writing.builder.node(operator, inputs, writing.name(node))

    return write


def _bounded(writing: Writing, node: fx.Node) -> str:
    low, high = bounds(node)
    if low == 0 and high is None:
        return writing.builder.node("Relu", [writing.input(node)], writing.name(node))
    inputs = [writing.input(node)]
    for role, bound in (("low", low), ("high", high)):
        constant = np.float32(0 if bound is None else bound)
        name = f"{writing.name(node)}.{role}"
        inputs.append("" if bound is None else writing.builder.constant(name, constant))
    return writing.builder.node("Clip", inputs, writing.name(node))


def _along_axis(operator: str) -> Write:
    def write(writing: Writing, node: fx.Node) -> str:
        axis = int(argument(node, 1, "dim", -1))
        return writing.builder.node(operator, [writing.input(node)], writing.name(node), axis=axis)

    return write


def _gelu(writing: Writing, node: fx.Node) -> str:
    form = str(node.kwargs.get("approximate", "none"))
    return writing.builder.node("Gelu", [writing.input(node)], writing.name(node), approximate=form)


def _prelu(writing: Writing, node: fx.Node) -> str:
    rank = len(node.meta["shape"])
    slope = writing.input(node, 1)
    shape = writing.integers(node, "slope_shape", [-1, *[1] * (rank - 2)])
    slope = writing.builder.node("Reshape", [slope, shape], f"{writing.name(node)}.slope")
    return writing.builder.node("PRelu", [writing.input(node), slope], writing.name(node))


def _layer_norm(writing: Writing, node: fx.Node) -> str:
    axes = argument(node, 1, "normalized_shape", ())
    inputs = [writing.input(node), _scale_of_layer_norm(writing, node, axes)]
    if argument(node, 3, "bias", None) is not None:
        inputs.append(writing.input(node, 3))
    epsilon = float(argument(node, 4, "eps", 1e-5))
    return writing.builder.node(
        "LayerNormalization", inputs, writing.name(node), axis=-len(axes), epsilon=epsilon
    )


def _scale_of_layer_norm(writing: Writing, node: fx.Node, axes: Sequence[int]) -> str:
    if argument(node, 2, "weight", None) is not None:
        return writing.input(node, 2)
    return writing.builder.constant(f"{writing.name(node)}.scale", np.ones(axes, np.float32))


def _batch_norm(writing: Writing, node: fx.Node) -> str:
    norm = module_of(writing.module, node)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    ones = np.ones(norm.num_features, np.float32)
    tensors = {
        "gamma": norm.weight.detach().numpy() if norm.affine else ones,
        "beta": norm.bias.detach().numpy() if norm.affine else 0 * ones,
        "mean": norm.running_mean.numpy(),
        "var": norm.running_var.numpy(),
    }
    constants = [
        writing.builder.constant(f"{writing.name(node)}.{k}", v) for k, v in tensors.items()
    ]
    inputs = [writing.input(node), *constants]
    return writing.builder.node("BatchNormalization", inputs, writing.name(node), epsilon=norm.eps)


def _cat(writing: Writing, node: fx.Node) -> str:
    parts = node.args[0]
    assert isinstance(parts, Sequence)
    inputs = [writing.value(node, part, f"part_{index}") for index, part in enumerate(parts)]
    axis = int(argument(node, 1, "dim", 0))
    return writing.builder.node("Concat", inputs, writing.name(node), axis=axis)


def _reduce(operator: str) -> Write:
    def write(writing: Writing, node: fx.Node) -> str:
        rank = len(source_shape(node))
        axes = reduced_axes(node, rank, unsupported)
        keep = bool(argument(node, 2, "keepdim", False))
        if operator == "ReduceMean" and rank == 4 and axes == [2, 3] and keep:
            return writing.builder.node(
                "GlobalAveragePool", [writing.input(node)], writing.name(node)
            )
        inputs = [writing.input(node), writing.integers(node, "axes", axes)]
        return writing.builder.node(operator, inputs, writing.name(node), keepdims=int(keep))

    return write


def _adaptive_avg_pool(writing: Writing, node: fx.Node) -> str:
    size = [int(length or 0) for length in source_shape(node)[-2:]]
    target = pair(node.args[1])
    if target == [1, 1]:
        return writing.builder.node("GlobalAveragePool", [writing.input(node)], writing.name(node))
    if any(have % want for have, want in zip(size, target, strict=True)):
        raise unsupported(node, f"from {size} to {target}")
    kernel = [have // want for have, want in zip(size, target, strict=True)]
    return writing.builder.node(
        "AveragePool",
        [writing.input(node)],
        writing.name(node),
        kernel_shape=kernel,
        strides=kernel,
    )


def _avg_pool(writing: Writing, node: fx.Node) -> str:
    if argument(node, 6, "divisor_override", None) is not None:
        raise unsupported(node, "with divisor_override")
    attributes = window(node, 4)
    counted = bool(argument(node, 5, "count_include_pad", True)) and any(attributes["pads"])
    if counted and attributes["ceil_mode"]:
        # The runtime's integer kernel divides such a window by its whole size.
        raise unsupported(node, "with ceil_mode and windows that reach beyond counted padding")
    return writing.builder.node(
        "AveragePool",
        [writing.input(node)],
        writing.name(node),
        **attributes,
        count_include_pad=int(counted),
    )


def _upsample_bilinear(writing: Writing, node: fx.Node) -> str:
    before, after = source_shape(node)[2:], node.meta["shape"][2:]
    factors = [a / int(b or 1) for a, b in zip(after, before, strict=True)]
    given: Any = node.args[3] if len(node.args) > 3 else None
    if given is not None and [float(factor) for factor in given] != factors:
        raise unsupported(node, f"by {given}, which gives no whole number of pixels,")
    scales = np.asarray([1.0, 1.0, *factors], np.float32)
    mode = "align_corners" if node.args[2] else "half_pixel"
    return writing.builder.node(
        "Resize",
        [writing.input(node), "", writing.builder.constant(f"{node.name}.scales", scales)],
        writing.name(node),
        mode="linear",
        coordinate_transformation_mode=mode,
    )


def window(node: fx.Node, ceil_index: int) -> dict[str, Any]:
    """The attributes of a pooling operation; `ceil_index`: of the argument ceil_mode.

    ceil_mode is told only where a window does reach beyond the padded input.
    """
    kernel, padding = pair(node.args[1]), pair(argument(node, 3, "padding", 0))
    strides = pair(argument(node, 2, "stride", None) or kernel)
    dilation = pair(argument(node, 4, "dilation", 1)) if ceil_index == 5 else [1, 1]
    sizes = zip(source_shape(node)[-2:], node.meta["shape"][-2:], strict=True)
    beyond = [
        (after - 1) * strides[axis] + dilation[axis] * (kernel[axis] - 1) + 1
        > int(before or 0) + 2 * padding[axis]
        for axis, (before, after) in enumerate(sizes)
    ]
    return {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": padding + padding,
        "ceil_mode": int(bool(argument(node, ceil_index, "ceil_mode", False)) and any(beyond)),
    }


COMPUTE: Mapping[str, Write] = {
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "rsub": _binary("Sub", order=(1, 0)),
    "mul": _binary("Mul"),
    "div": _binary("Div"),
    "matmul": _binary("MatMul"),
    "maximum": _binary("Max"),
    "minimum": _binary("Min"),
    "pow": _binary("Pow"),
    "cat": _cat,
    **dict.fromkeys(BOUNDED, _bounded),
    "leaky_relu": _with_argument("LeakyRelu", "alpha", 0.01),
    "elu": _with_argument("Elu", "alpha", 1.0),
    "prelu": _prelu,
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "hardsigmoid": _simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardswish": _simple("HardSwish"),
    "softplus": _simple("Softplus"),
    "mish": _simple("Mish"),
    "exp": _simple("Exp"),
    "log": _simple("Log"),
    "sqrt": _simple("Sqrt"),
    "abs": _simple("Abs"),
    "neg": _simple("Neg"),
    "gelu": _gelu,
    "softmax": _along_axis("Softmax"),
    "log_softmax": _along_axis("LogSoftmax"),
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "mean": _reduce("ReduceMean"),
    "sum": _reduce("ReduceSum"),
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "avg_pool2d": _avg_pool,
    "upsample_bilinear2d": _upsample_bilinear,
}
