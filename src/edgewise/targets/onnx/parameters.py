"""The weights and biases of layers: as floats, in half precision, as codes, or packed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from edgewise.errors import ExportError
from edgewise.graph.layer import WeightedLayer
from edgewise.quant.fake import BIAS_LIMIT, QuantizedLayer
from edgewise.quant.stored import StoredLayer
from edgewise.targets.onnx.builder import Builder
from edgewise.targets.onnx.packing import find_packing


@dataclass(frozen=True, eq=False)
class _Steps:
    """What codes of a type stand for: a scale per channel of an axis, and one zero point."""

    scale: Any
    kind: type
    axis: int = 0
    zero: int = 0


def integer_parameters(
    builder: Builder,
    name: str,
    layer: QuantizedLayer,
    turned: Callable[[str], str] | None = None,
    zero: int = 0,
) -> list[str]:
    """Codes and what they stand for; raises ExportError where a bias does not fit an int32.

    turned: from the tensor of weight codes to that which the layer reads; zero: the code that a
    weight of zero is stored as.
    """
    moved = layer.weight_codes.numpy() + np.int8(zero)
    stored = _weight_codes(builder, f"{name}.weight", moved, layer.kind.bits)
    stored = stored if turned is None else turned(stored)
    return _stepped(builder, name, layer, stored, _Channels(slice(None), zero))


def part_parameters(
    builder: Builder, name: str, layer: QuantizedLayer, parts: Sequence[str]
) -> list[list[str]]:
    """Codes, stored as one tensor, of equal parts of the output channels; and what they stand for.

    parts: their names. Raises as integer_parameters does.
    """
    stored = _weight_codes(builder, f"{name}.weight", layer.weight_codes.numpy(), layer.kind.bits)
    names = [f"{part}.weight.codes" for part in parts]
    builder.nodes("Split", [stored], f"{name}.split", names, axis=0, num_outputs=len(parts))
    size = len(layer.scale) // len(parts)
    ends = [slice(place * size, (place + 1) * size) for place in range(len(parts))]
    return [
        _stepped(builder, part, layer, codes, _Channels(channels))
        for part, codes, channels in zip(parts, names, ends, strict=True)
    ]


@dataclass(frozen=True)
class _Channels:
    """Output channels, and the code that stands for a weight of zero in them."""

    which: slice
    zero: int = 0


def _stepped(
    builder: Builder, name: str, layer: QuantizedLayer, stored: str, channels: _Channels
) -> list[str]:
    scale, axis = layer.scale.numpy()[channels.which], layer.form.out_axis
    steps = _Steps(scale, np.int8, axis, channels.zero)
    weight = _dequantized(builder, f"{name}.weight", stored, steps)
    if layer.bias_codes is None:
        return [weight]
    codes = layer.bias_codes.numpy()[channels.which]
    if len(codes) and int(np.abs(codes.astype(np.int64)).max()) >= BIAS_LIMIT:
        raise ExportError(
            f"the bias of '{layer.form.path}' needs codes beyond 2^30, which overflow the "
            "runtime's accumulator; keep the layer in float with --keep-float."
        )
    stored = builder.constant(f"{name}.bias.codes", codes)
    step = layer.step.numpy()[channels.which]
    return [weight, _dequantized(builder, f"{name}.bias", stored, _Steps(step, np.int32))]


def _weight_codes(builder: Builder, name: str, codes: Any, bits: int) -> str:
    """An int8 tensor of codes, stored in as few bits as ONNX has for them."""
    packing = find_packing(max(bits, builder.dialect.least_bits))
    if packing is None:
        return builder.constant(f"{name}.codes", codes)
    # The runtime widens them once, when it loads. Dequantized as they are, they would keep the
    # layer in float.
    packed = builder.packed(f"{name}.packed", codes, packing)
    return builder.node("Cast", [packed], f"{name}.codes", to=onnx.TensorProto.INT8)


def _dequantized(builder: Builder, name: str, codes: str, steps: _Steps) -> str:
    inputs = [
        codes,
        builder.constant(f"{name}.scale", steps.scale),
        builder.constant(f"{name}.zero_point", np.full(len(steps.scale), steps.zero, steps.kind)),
    ]
    return builder.node("DequantizeLinear", inputs, name, axis=steps.axis)


def stored_parameters(builder: Builder, name: str, layer: StoredLayer) -> list[str]:
    """Weights that are stored as codes and computed with as floats."""
    codes = layer.weight_codes
    stored = _weight_codes(builder, f"{name}.weight", codes.numpy(), layer.kind.bits)
    floats = onnx.TensorProto.FLOAT
    # Not DequantizeLinear, which the runtime would leave in place and compute every time.
    widened = builder.node("Cast", [stored], f"{name}.weight.floats", to=floats)
    shaped = layer.form.per_channel(layer.scale, codes.ndim).numpy()
    scale = builder.constant(f"{name}.weight.scale", shaped)
    weight = builder.node("Mul", [widened, scale], f"{name}.weight")
    if layer.bias is None:
        return [weight]
    return [weight, builder.constant(f"{name}.bias", layer.bias.numpy())]


def float_parameters(builder: Builder, name: str, layer: WeightedLayer, half: bool) -> list[str]:
    """Weights and bias with BatchNorm folded in; half: stored as float16."""
    weight, bias = layer.folded()
    parameters = [("weight", weight)] + ([] if bias is None else [("bias", bias)])
    return [_stored(builder, f"{name}.{role}", tensor.numpy(), half) for role, tensor in parameters]


def _stored(builder: Builder, name: str, values: Any, half: bool) -> str:
    if not half:
        return builder.constant(name, values)
    narrow = builder.constant(f"{name}.float16", values.astype(np.float16))
    return builder.node("Cast", [narrow], name, to=onnx.TensorProto.FLOAT)
