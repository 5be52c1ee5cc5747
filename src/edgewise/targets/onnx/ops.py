"""The operations without weights: one function each, and one table of them."""

import operator as python_operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from edgewise.errors import UnsupportedOpError
from edgewise.graph.network import module_of
from edgewise.quant.integer import clip_bounds
from edgewise.targets.onnx.builder import Array, Builder

# They have no ONNX form because they do nothing.
ALIASES = frozenset({"dropout", "contiguous", "clone", "alias", "detach", "identity", "getitem"})
_CLIPS = ("relu", "relu6", "hardtanh")


@dataclass
class Writing:
    """What is being written: the graph, the model, and the tensor name of every node so far."""

    module: fx.GraphModule
    builder: Builder
    names: dict[fx.Node, str]

    def input(self, node: fx.Node, index: int = 0) -> str:
        """The tensor of a node's argument; a number or a constant becomes an initializer."""
        value = node.args[index]
        if isinstance(value, fx.Node) and value.op == "get_attr":
            tensor = python_operator.attrgetter(str(value.target))(self.module)
            assert isinstance(tensor, Tensor)
            return self.builder.constant(value.name, tensor.detach().float().numpy())
        if isinstance(value, fx.Node):
            return self.names[value]
        if not isinstance(value, (int, float)):
            raise unsupported(node, f"with the argument {value!r}")
        return self.builder.constant(f"{node.name}.value_{index}", np.float32(value))

    def clip_bounds(self, node: fx.Node, kind: str) -> tuple[float, float | None] | None:
        """The bounds of a clipping activation, None for another operation."""
        return clip_bounds(node, kind) if kind in _CLIPS else None


def unsupported(node: fx.Node, what: str) -> UnsupportedOpError:
    """The error for an operation that cannot be written."""
    where = node.meta.get("path") or node.name
    return UnsupportedOpError(
        f"{node.target} at '{where}' {what} has no ONNX form here; rewrite that layer with "
        "operations that edgewise writes (see the documentation's list)."
    )


def emit(writing: Writing, node: fx.Node, kind: str) -> str:
    """Write one node; raises UnsupportedOpError when there is no form for it."""
    if kind in ALIASES and kind != "getitem":
        return writing.input(node)
    if kind not in _OPS:
        raise unsupported(node, f"({kind})")
    return _OPS[kind](writing, node)


def _argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    if len(node.args) > index:
        return node.args[index]
    return node.kwargs.get(name, default)


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)]
    return values * 2 if len(values) == 1 else values


def _ints(writing: Writing, node: fx.Node, role: str, values: Sequence[int]) -> str:
    return writing.builder.constant(f"{node.name}.{role}", np.asarray(values, np.int64))


def _simple(operator: str, **attributes: Any) -> Callable[[Writing, fx.Node], str]:
    def write(writing: Writing, node: fx.Node) -> str:
        return writing.builder.node(operator, [writing.input(node)], node.name, **attributes)

    return write


def _binary(operator: str) -> Callable[[Writing, fx.Node], str]:
    def write(writing: Writing, node: fx.Node) -> str:
        if node.kwargs.get("alpha", 1) != 1 or node.kwargs.get("rounding_mode"):
            raise unsupported(node, f"with {dict(node.kwargs)}")
        inputs = [writing.input(node, 0), writing.input(node, 1)]
        return writing.builder.node(operator, inputs, node.name)

    return write


def _clip(writing: Writing, node: fx.Node) -> str:
    low, high = clip_bounds(node, str(node.target).split(".")[1])
    return _bounded(writing, node, low, high)


def _clamp(writing: Writing, node: fx.Node) -> str:
    return _bounded(writing, node, _argument(node, 1, "min", None), _argument(node, 2, "max", None))


def _bounded(writing: Writing, node: fx.Node, low: Any, high: Any) -> str:
    if low == 0 and high is None:
        return writing.builder.node("Relu", [writing.input(node)], node.name)
    inputs = [writing.input(node)]
    for role, bound in (("low", low), ("high", high)):
        constant = np.float32(0 if bound is None else bound)
        name = f"{node.name}.{role}"
        inputs.append("" if bound is None else writing.builder.constant(name, constant))
    return writing.builder.node("Clip", inputs, node.name)


def _leaky_relu(writing: Writing, node: fx.Node) -> str:
    slope = float(_argument(node, 1, "negative_slope", 0.01))
    return writing.builder.node("LeakyRelu", [writing.input(node)], node.name, alpha=slope)


def _silu(writing: Writing, node: fx.Node) -> str:
    gate = writing.builder.node("Sigmoid", [writing.input(node)], f"{node.name}.gate")
    return writing.builder.node("Mul", [writing.input(node), gate], node.name)


def _softmax(writing: Writing, node: fx.Node) -> str:
    axis = int(_argument(node, 1, "dim", -1))
    return writing.builder.node("Softmax", [writing.input(node)], node.name, axis=axis)


def _gelu(writing: Writing, node: fx.Node) -> str:
    form = str(node.kwargs.get("approximate", "none"))
    return writing.builder.node("Gelu", [writing.input(node)], node.name, approximate=form)


def _layer_norm(writing: Writing, node: fx.Node) -> str:
    axes = _argument(node, 1, "normalized_shape", ())
    inputs = [writing.input(node, index) for index in (0, 2, 3) if index < len(node.args)]
    epsilon = float(_argument(node, 4, "eps", 1e-5))
    return writing.builder.node(
        "LayerNormalization", inputs, node.name, axis=-len(axes), epsilon=epsilon
    )


def _batch_norm(writing: Writing, node: fx.Node) -> str:
    norm = module_of(writing.module, node)
    assert isinstance(norm, nn.BatchNorm2d)
    channels = norm.num_features
    tensors: Mapping[str, Array] = {
        "gamma": norm.weight.detach().numpy() if norm.affine else np.ones(channels, np.float32),
        "beta": norm.bias.detach().numpy() if norm.affine else np.zeros(channels, np.float32),
        "mean": norm.running_mean.numpy() if norm.running_mean is not None else np.zeros(channels),
        "var": norm.running_var.numpy() if norm.running_var is not None else np.ones(channels),
    }
    constants = [writing.builder.constant(f"{node.name}.{k}", v) for k, v in tensors.items()]
    inputs = [writing.input(node), *constants]
    return writing.builder.node("BatchNormalization", inputs, node.name, epsilon=norm.eps)


def _cat(writing: Writing, node: fx.Node) -> str:
    parts = node.args[0]
    assert isinstance(parts, Sequence)
    inputs = [writing.names[part] for part in parts if isinstance(part, fx.Node)]
    axis = int(_argument(node, 1, "dim", 0))
    return writing.builder.node("Concat", inputs, node.name, axis=axis)


def _mean(writing: Writing, node: fx.Node) -> str:
    rank = len(node.all_input_nodes[0].meta["shape"])
    axes = sorted(int(axis) % rank for axis in _argument(node, 1, "dim", range(rank)))
    keep = bool(_argument(node, 2, "keepdim", False))
    if rank != 4 or axes != [2, 3]:
        inputs = [writing.input(node), _ints(writing, node, "axes", axes)]
        return writing.builder.node("ReduceMean", inputs, node.name, keepdims=int(keep))
    if keep:
        return writing.builder.node("GlobalAveragePool", [writing.input(node)], node.name)
    return writing.builder.node(
        "ReduceMean",
        [writing.input(node), _ints(writing, node, "axes", axes)],
        node.name,
        keepdims=0,
    )


def _adaptive_avg_pool(writing: Writing, node: fx.Node) -> str:
    size = node.all_input_nodes[0].meta["shape"][2:]
    target = _pair(node.args[1])
    if target == [1, 1]:
        return writing.builder.node("GlobalAveragePool", [writing.input(node)], node.name)
    if any(have % want for have, want in zip(size, target, strict=True)):
        raise unsupported(node, f"from {list(size)} to {target}")
    kernel = [have // want for have, want in zip(size, target, strict=True)]
    return writing.builder.node(
        "AveragePool", [writing.input(node)], node.name, kernel_shape=kernel, strides=kernel
    )


def _avg_pool(writing: Writing, node: fx.Node) -> str:
    if _argument(node, 6, "divisor_override", None) is not None:
        raise unsupported(node, "with divisor_override")
    return writing.builder.node(
        "AveragePool",
        [writing.input(node)],
        node.name,
        **_window(node, 4),
        count_include_pad=int(bool(_argument(node, 5, "count_include_pad", True))),
    )


def _max_pool(writing: Writing, node: fx.Node) -> str:
    dilation = _pair(_argument(node, 4, "dilation", 1))
    return writing.builder.node(
        "MaxPool", [writing.input(node)], node.name, **_window(node, 5), dilations=dilation
    )


def _window(node: fx.Node, ceil_index: int) -> dict[str, Any]:
    kernel = _pair(node.args[1])
    padding = _pair(_argument(node, 3, "padding", 0))
    return {
        "kernel_shape": kernel,
        "strides": _pair(_argument(node, 2, "stride", None) or kernel),
        "pads": padding + padding,
        "ceil_mode": int(bool(_argument(node, ceil_index, "ceil_mode", False))),
    }


def _reshape(writing: Writing, node: fx.Node) -> str:
    shape = node.meta["shape"]
    if shape[0] is not None or None in shape[1:]:
        raise unsupported(node, f"to {shape}, which does not keep the batch axis first,")
    target = _ints(writing, node, "shape", [-1, *shape[1:]])
    return writing.builder.node("Reshape", [writing.input(node), target], node.name)


def _transpose(writing: Writing, node: fx.Node) -> str:
    rank = len(node.meta["shape"])
    order = list(range(rank))
    if str(node.target).startswith("aten.permute"):
        order = [int(axis) % rank for axis in _argument(node, 1, "dims", ())]
    else:
        one, other = (int(_argument(node, index, "", 0)) % rank for index in (1, 2))
        order[one], order[other] = order[other], order[one]
    return writing.builder.node("Transpose", [writing.input(node)], node.name, perm=order)


def _upsample_nearest(writing: Writing, node: fx.Node) -> str:
    before, after = node.all_input_nodes[0].meta["shape"][2:], node.meta["shape"][2:]
    factors = [1.0, 1.0, *(a / b for a, b in zip(after, before, strict=True))]
    scales = writing.builder.constant(f"{node.name}.scales", np.asarray(factors, np.float32))
    return writing.builder.node(
        "Resize",
        [writing.input(node), "", scales],
        node.name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _pad(writing: Writing, node: fx.Node) -> str:
    pads = [int(size) for size in _argument(node, 1, "pad", ())]
    is_constant = not str(node.target).startswith("aten.pad") or (
        _argument(node, 2, "mode", "constant") == "constant"
    )
    value = _argument(node, 3 if str(node.target).startswith("aten.pad") else 2, "value", 0)
    if not is_constant or value not in (0, None):
        raise unsupported(node, "with anything but constant zeros")
    rank = len(node.meta["shape"])
    before, after = [0] * rank, [0] * rank
    for index in range(len(pads) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = pads[2 * index], pads[2 * index + 1]
    inputs = [writing.input(node), _ints(writing, node, "pads", before + after)]
    return writing.builder.node("Pad", inputs, node.name)


def _slice(writing: Writing, node: fx.Node) -> str:
    axis = int(_argument(node, 1, "dim", 0))
    start, end = _argument(node, 2, "start", None), _argument(node, 3, "end", None)
    step = int(_argument(node, 4, "step", 1))
    if isinstance(start, fx.Node) or isinstance(end, fx.Node):
        raise unsupported(node, "with bounds that depend on the input's size")
    values = {
        "starts": int(start or 0),
        "ends": int(np.iinfo(np.int64).max if end is None else end),
        "axes": axis,
        "steps": step,
    }
    inputs = [_ints(writing, node, role, [value]) for role, value in values.items()]
    return writing.builder.node("Slice", [writing.input(node), *inputs], node.name)


def _split(writing: Writing, node: fx.Node) -> str:
    axis = int(_argument(node, 2, "dim", 0))
    total = int(node.all_input_nodes[0].meta["shape"][axis])
    requested: Any = node.args[1]
    if isinstance(requested, Sequence):
        sizes = [int(size) for size in requested]
    else:
        is_chunk = str(node.target).startswith("aten.chunk")
        step = -(-total // int(requested)) if is_chunk else int(requested)
        sizes = [min(step, total - start) for start in range(0, total, step)]
    outputs = [f"{node.name}.{index}" for index in range(len(sizes))]
    inputs = [writing.input(node), _ints(writing, node, "sizes", sizes)]
    writing.builder.nodes("Split", inputs, node.name, outputs, axis=axis)
    return node.name


def _getitem(writing: Writing, node: fx.Node) -> str:
    return f"{writing.input(node)}.{node.args[1]}"


_OPS: Mapping[str, Callable[[Writing, fx.Node], str]] = {
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "div": _binary("Div"),
    "cat": _cat,
    "relu": _clip,
    "relu6": _clip,
    "hardtanh": _clip,
    "clamp": _clamp,
    "leaky_relu": _leaky_relu,
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "hardsigmoid": _simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardswish": _simple("HardSwish"),
    "silu": _silu,
    "gelu": _gelu,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "mean": _mean,
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "avg_pool2d": _avg_pool,
    "max_pool2d": _max_pool,
    "flatten": _reshape,
    "view": _reshape,
    "_unsafe_view": _reshape,
    "reshape": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "permute": _transpose,
    "transpose": _transpose,
    "upsample_nearest2d": _upsample_nearest,
    "pad": _pad,
    "constant_pad_nd": _pad,
    "slice": _slice,
    "chunk": _split,
    "split": _split,
    "split_with_sizes": _split,
    "getitem": _getitem,
}
