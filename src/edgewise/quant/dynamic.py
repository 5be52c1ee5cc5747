"""Layers on integers whose inputs are quantized as they come, by the range of this very input."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgewise.graph.layer import WeightedLayer
from edgewise.quant.affine import quantize
from edgewise.quant.exact import exact_products
from edgewise.quant.fake import rounded
from edgewise.quant.scheme import IntType
from edgewise.quant.weights_range import mse_channel_scales

ACTIVATIONS = IntType(8, signed=False)  # what ONNX's DynamicQuantizeLinear makes
KINDS = ("conv2d", "linear")  # ONNX multiplies integers in no transposed convolution


@dataclass(frozen=True)
class Codes:
    """A tensor quantized by its own range: codes as floats, and per image its scale and zero point,
    shaped to broadcast against them.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor


def quantize_by_own_range(values: Tensor, rows: int = 1) -> Codes:
    """Codes of every image by the range of its values, as ONNX's DynamicQuantizeLinear defines.

    values: the images along the first axis, each of so many rows. Zero is in every range, and a
    range of nothing else has the scale 1/255.
    """
    low, high = torch.aminmax(values.flatten(1), dim=1)
    low, high = low.view(-1, rows).amin(1).clamp_max(0), high.view(-1, rows).amax(1).clamp_min(0)
    width = torch.where(low == high, torch.ones(()), high - low)
    scale = width / ACTIVATIONS.high
    zero = torch.round((0 - low / scale).clamp(ACTIVATIONS.low, ACTIVATIONS.high))
    shape = [-1, *[1] * (values.ndim - 1)]
    scale, zero = (one.repeat_interleave(rows).view(shape) for one in (scale, zero))
    return Codes(quantize(values, scale, zero, ACTIVATIONS), scale, zero)


class DynamicLayer(nn.Module):
    """A weighted layer on integer weights, BatchNorm folded, bias in float.

    Every image has the codes that it has alone, whatever else is in its batch.
    scale: float32 (output channels,), of the weights; weight_codes: int8; bias: as it was;
    rows: how many rows of the input's first axis are one image.
    """

    scale: Tensor
    weight_codes: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, layer: WeightedLayer, kind: IntType, rows: int = 1) -> None:
        super().__init__()
        self.form = layer.form
        self.kind = kind
        self.rows = rows
        weight, bias = layer.folded()
        scale = mse_channel_scales(weight, self.form.out_axis, kind)
        codes = rounded(weight, self.form.per_channel(scale, weight.ndim), kind)
        self.register_buffer("scale", scale)
        self.register_buffer("weight_codes", codes)
        self.register_buffer("bias", bias)

    def quantize(self, inputs: Tensor) -> Codes:
        """The codes of an input."""
        return quantize_by_own_range(inputs, self.rows)

    def sums(self, inputs: Codes) -> Tensor:
        """The int32 accumulator, as integers in a float tensor."""
        return exact_products(self.form, self.weight_codes, inputs.codes - inputs.zero_point)

    def values(self, sums: Tensor, inputs: Codes) -> Tensor:
        """What sums stand for, with the bias: in float32, one rounding after the other."""
        shape = [1] * sums.ndim
        shape[-1 if self.form.kind == "linear" else 1] = -1
        result = sums.float() * (inputs.scale * self.scale.view(shape))
        return result if self.bias is None else result + self.bias.view(shape)

    def forward(self, inputs: Tensor) -> Tensor:
        codes = self.quantize(inputs)
        return self.values(self.sums(codes), codes)
