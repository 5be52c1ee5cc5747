"""Layers on integers whose inputs the runtime quantizes at every inference."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto
from torch import fx

from edgewise.quant.dynamic import DynamicLayer
from edgewise.targets.onnx.writing import Writing

_MIDDLE = 128


@dataclass(frozen=True)
class DynamicTensors:
    """The model's tensors around one layer.

    source: its input, in float; codes, scale, zero_point: what it is quantized to; sums: int32;
    result: what they stand for, with the bias.
    """

    source: str
    codes: str
    scale: str
    zero_point: str
    sums: str
    result: str


def write_dynamic(
    writing: Writing,
    node: fx.Node,
    layer: DynamicLayer,
    attributes: Mapping[str, Any],
    known: Iterable[DynamicTensors],
) -> DynamicTensors:
    """Write a layer; what one of the `known` reads too is quantized once.

    attributes: of the convolution.
    """
    name, source, builder = node.name, writing.input(node), writing.builder
    codes, scale, zero = _quantized(writing, name, source, known)
    linear = layer.form.kind == "linear"
    (sums,) = builder.nodes(
        "MatMulInteger" if linear else "ConvInteger",
        [codes, _weight(writing, name, layer), zero, *([] if linear else [_middle(writing)])],
        name, (f"{name}.sums",), **attributes,
    )  # fmt: skip
    shape = [-1] if linear else [-1, 1, 1]
    # Not called a weight's: by that name the layer's operator is found.
    own = builder.constant(f"{name}.scale", layer.scale.view(shape).numpy())
    floats = builder.node("Cast", [sums], f"{name}.floats", to=TensorProto.FLOAT)
    step = builder.node("Mul", [scale, own], f"{name}.step")
    result = builder.node("Mul", [floats, step], f"{name}.product")
    if layer.bias is not None:
        bias = builder.constant(f"{name}.bias", layer.bias.view(shape).numpy())
        result = builder.node("Add", [result, bias], f"{name}.result")
    return DynamicTensors(source, codes, scale, zero, sums, result)


def _weight(writing: Writing, name: str, layer: DynamicLayer) -> str:
    """The codes of a layer's weights, of a convolution as uint8 around the middle.

    The same sums, but four times as fast: the runtime has no fast kernel for signed weights there.
    """
    codes = layer.weight_codes.numpy()
    linear = layer.form.kind == "linear"
    stored = codes.T if linear else (codes.astype(np.int16) + _MIDDLE).astype(np.uint8)
    return writing.builder.constant(f"{name}.weight.codes", stored)


def _middle(writing: Writing) -> str:
    return writing.builder.constant("uint8.middle", np.uint8(_MIDDLE))


def _quantized(
    writing: Writing, name: str, source: str, known: Iterable[DynamicTensors]
) -> tuple[str, str, str]:
    """Codes, scale and zero point of a layer's input."""
    for one in known:
        if one.source == source:
            return one.codes, one.scale, one.zero_point
    names = [f"{name}.input.{role}" for role in ("codes", "scale", "zero_point")]
    codes, scale, zero = writing.builder.nodes(
        "DynamicQuantizeLinear", [source], f"{name}.input", names
    )
    return codes, scale, zero
