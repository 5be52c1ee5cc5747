"""Convolutions and linear layers: float, half, with stored weights, on integers, and dynamic."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import fx

from edgewise.errors import ExportError
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.fake import BIAS_LIMIT, QuantizedLayer
from edgewise.quant.stored import StoredLayer
from edgewise.targets.tflite.builder import Steps, Value, options
from edgewise.targets.tflite.packing import pack_nibbles
from edgewise.targets.tflite.pooling import Windows, place
from edgewise.targets.tflite.writing import Writing, shape_of, unsupported

_NIBBLE = 4  # bits


@dataclass(frozen=True)
class Result:
    """What a layer's operator gives. name: of its tensor; steps: of codes, None for floats;
    activation: that it computes too.
    """

    name: str
    steps: Steps | None
    activation: int


@dataclass(frozen=True)
class Parameters:
    """Weights in the runtime's order, the constant that they are made of, and the bias."""

    weight: Value
    stored: Value
    bias: Value


def write_layer(
    writing: Writing, node: fx.Node, form: Form, given: Parameters, result: Result
) -> tuple[str, Value]:
    """A layer's operator and its result."""
    source = writing.input(node)
    if result.steps is None:
        source = writing.widen(source, f"{node.name}.value_0")
    if form.kind == "linear":
        return _linear(writing, node, source, given, result)
    if form.kind != "conv2d":
        raise unsupported(node, f"({form.kind})")
    return _convolution(writing, node, form, source, given, result)


def _linear(
    writing: Writing, node: fx.Node, source: Value, given: Parameters, result: Result
) -> tuple[str, Value]:
    shape_of(node)
    rank = len(source.shape)
    if rank == 4:
        source = writing.as_network(source, f"{node.name}.rows")
    settings = options(
        "FullyConnected", fusedActivationFunction=result.activation, keepNumDims=rank > 2,
        asymmetricQuantizeInputs=True,
    )  # fmt: skip
    shape = [1, *(int(size) for size in node.meta["shape"][1:])]
    inputs = [source, given.weight, given.bias]
    name = f"{result.name}.rows" if rank == 4 else result.name
    value = writing.add("FULLY_CONNECTED", inputs, name, shape, settings, result.steps)
    return "FULLY_CONNECTED", writing.as_model(value, result.name) if rank == 4 else value


def _convolution(  # noqa: PLR0913 - what a convolution is made of
    writing: Writing, node: fx.Node, form: Form, source: Value, given: Parameters, result: Result
) -> tuple[str, Value]:  # fmt: skip
    geometry = form.geometry
    depthwise = is_depthwise(form, source.shape[3])
    kernel = list(given.weight.shape[1:3])
    stride, dilation = list(geometry["stride"]), list(geometry["dilation"])
    windows = Windows.of(node, kernel, stride, list(geometry["padding"]), dilation)
    source, padding = place(writing, node.name, source, windows)
    settings: dict[str, Any] = {
        "padding": padding,
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": result.activation,
    }
    inputs, shape = [source, given.weight, given.bias], shape_of(node)
    if depthwise:
        multiplier = given.weight.shape[3] // source.shape[3]
        chosen = options("DepthwiseConv2D", depthMultiplier=multiplier, **settings)
        name = "DEPTHWISE_CONV_2D"
    else:
        chosen, name = options("Conv2D", **settings), "CONV_2D"
    return name, writing.add(name, inputs, result.name, shape, chosen, result.steps)


def is_depthwise(form: Form, channels: int) -> bool:
    """Whether every channel is convolved by itself."""
    return form.kind == "conv2d" and form.geometry["groups"] == channels > 1


def _arranged(form: Form, weight: NDArray[Any], depthwise: bool) -> NDArray[Any]:
    """Weights in the order that the runtime wants: the channels of the input are the last axis."""
    if form.kind == "linear":
        return weight
    return weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))


def integer_parameters(
    writing: Writing, node: fx.Node, layer: QuantizedLayer | DynamicLayer
) -> Parameters:
    """Weights as integers; the bias as int32 in a layer on codes, in float in a dynamic one.

    Raises ExportError for a bias that no accumulator holds.
    """
    weight = _codes(writing, node, layer)
    channels = len(layer.scale)
    if isinstance(layer, DynamicLayer):
        floats = np.zeros(channels, np.float32) if layer.bias is None else layer.bias.numpy()
        return Parameters(weight, weight, writing.builder.constant(f"{node.name}.bias", floats))
    codes = np.zeros(channels, np.int32)
    if layer.bias_codes is not None:
        codes = layer.bias_codes.numpy()
    if channels and int(np.abs(codes.astype(np.int64)).max()) >= BIAS_LIMIT:
        raise ExportError(
            f"the bias of '{layer.form.path}' needs codes beyond 2^30, which overflow the "
            "runtime's accumulator; keep the layer in float with --keep-float."
        )
    steps = Steps(tuple(layer.step.tolist()))
    bias = writing.builder.constant(f"{node.name}.bias", codes, steps)
    return Parameters(weight, weight, bias)


def _codes(
    writing: Writing, node: fx.Node, layer: QuantizedLayer | DynamicLayer | StoredLayer
) -> Value:
    depthwise = is_depthwise(layer.form, _channels(node))
    codes = np.ascontiguousarray(_arranged(layer.form, layer.weight_codes.numpy(), depthwise))
    steps = Steps(tuple(layer.scale.tolist()), axis=3 if depthwise else 0)
    name = f"{node.name}.weight"
    if not _packs(layer, codes):
        return writing.builder.constant(name, codes, steps)
    packed = pack_nibbles(codes)
    return writing.builder.packed(name, codes.shape, packed, schema.TensorType.INT4, steps)


def _packs(layer: QuantizedLayer | DynamicLayer | StoredLayer, codes: NDArray[np.int8]) -> bool:
    """Whether weights are stored two in a byte: only where XNNPACK reads them so.

    Elsewhere plain kernels would, at a fraction of the speed; then a code has a byte to itself.
    """
    narrow = isinstance(layer, QuantizedLayer) and layer.kind.bits <= _NIBBLE
    return narrow and layer.form.kind == "linear" and codes.shape[1] % 2 == 0


def _channels(node: fx.Node) -> int:
    """Channels of the image that a convolution reads; of anything else, none."""
    shape = node.all_input_nodes[0].meta["shape"]
    return int(shape[1]) if len(shape) == 4 else 0


def float_parameters(
    writing: Writing, node: fx.Node, layer: WeightedLayer | StoredLayer, half: bool
) -> Parameters:
    """Float weights, stored as they are, in half the bytes, or as codes, and then widened."""
    name, form = node.name, layer.form
    if isinstance(layer, StoredLayer):
        bias, stored = layer.bias, _codes(writing, node, layer)
        weight = _widened(writing, f"{name}.weight.floats", stored)
    else:
        values, bias = layer.folded()
        arranged = _arranged(form, values.numpy(), is_depthwise(form, _channels(node)))
        stored, weight = _stored(writing, f"{name}.weight", arranged, half)
    channels = weight.shape[3] if is_depthwise(form, _channels(node)) else weight.shape[0]
    floats = np.zeros(channels, np.float32) if bias is None else bias.numpy()
    return Parameters(weight, stored, _stored(writing, f"{name}.bias", floats, half)[1])


def _stored(
    writing: Writing, name: str, values: NDArray[np.float32], half: bool
) -> tuple[Value, Value]:
    """A constant in the file, and what is computed with."""
    if not half:
        stored = writing.builder.constant(name, values)
        return stored, stored
    stored = writing.builder.constant(f"{name}.float16", values.astype(np.float16))
    return stored, _widened(writing, name, stored)


def _widened(writing: Writing, name: str, stored: Value) -> Value:
    floats = writing.builder.widened(name, stored.shape)
    return writing.builder.operator("DEQUANTIZE", [stored], floats, options("Dequantize"))
