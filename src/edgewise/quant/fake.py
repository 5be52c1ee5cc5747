"""Simulated quantization: modules that round as the runtime will."""

import torch
from torch import Tensor, nn

from edgewise.graph.layer import Form, WeightedLayer, in_slices
from edgewise.quant.affine import channel_scales, dequantize, quantize
from edgewise.quant.scheme import IntType

# The runtimes' int32 accumulators start at the bias; half of what would fit is left to the sums.
BIAS_LIMIT = 2**30


class FakeQuantize(nn.Module):
    """Rounds an activation to its codes and back.

    scale: float32 scalar; zero_point: a code, stored as float32 scalar.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, kind: IntType, scale: Tensor, zero_point: Tensor) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that has a code of its own."""
        low = (self.kind.low - float(self.zero_point)) * float(self.scale)
        return low, (self.kind.high - float(self.zero_point)) * float(self.scale)

    def codes(self, values: Tensor) -> Tensor:
        """Codes of values, as floats."""
        return quantize(values, self.scale, self.zero_point, self.kind)

    def values(self, codes: Tensor) -> Tensor:
        """What the codes stand for."""
        return dequantize(codes, self.scale, self.zero_point)

    def forward(self, values: Tensor) -> Tensor:
        return self.values(self.codes(values))


class QuantizedLayer(nn.Module):
    """A weighted layer on integer weights, BatchNorm folded, bias in accumulator steps.

    source: quantizer of the layer's input, whose scale decides the step of the bias;
    scale: float32 (output channels,), of the weights; weight_codes: int8; bias_codes: int32.
    """

    scale: Tensor
    weight_codes: Tensor
    bias_codes: Tensor | None

    def __init__(
        self,
        form: Form,
        kind: IntType,
        source: FakeQuantize,
        weights: tuple[Tensor, Tensor],
        bias: Tensor | None,
    ) -> None:
        """weights: codes and scale; bias: as a float, (output channels,)."""
        super().__init__()
        self.form = form
        self.kind = kind
        self.source = [source]  # in a list: the input's quantizer is not a part of the layer
        codes, scale = weights
        self.register_buffer("scale", scale)
        self.register_buffer("weight_codes", codes)
        self.register_buffer(
            "bias_codes", None if bias is None else torch.round(bias / self.step).to(torch.int32)
        )

    @staticmethod
    def of(
        layer: WeightedLayer, kind: IntType, source: FakeQuantize, scale: Tensor | None = None
    ) -> "QuantizedLayer":
        """A float layer with its weights rounded to nearest.

        scale: by default that for which the largest weight of a channel gets the highest code.
        """
        weight, bias = layer.folded()
        if scale is None:
            scale = channel_scales(weight, layer.form.out_axis, kind)
        scale = least_scale(scale, bias, source.scale)
        codes = rounded(weight, layer.form.per_channel(scale, weight.ndim), kind)
        return QuantizedLayer(layer.form, kind, source, (codes, scale), bias)

    @property
    def step(self) -> Tensor:
        """What one unit of the accumulator stands for, float32 (output channels,)."""
        return self.source[0].scale * self.scale

    def weight(self) -> Tensor:
        """The weights that the codes stand for."""
        codes = self.weight_codes
        return codes.float() * self.form.per_channel(self.scale, codes.ndim)

    def forward(self, inputs: Tensor) -> Tensor:
        bias = None if self.bias_codes is None else self.bias_codes.float() * self.step
        return self.form.run(inputs, self.weight(), bias)

    def accumulate(self, codes: Tensor) -> Tensor:
        """The int32 accumulator for input codes less their zero point; exact in float64."""
        bias = None if self.bias_codes is None else self.bias_codes.double()
        return self.form.run(codes.double(), self.weight_codes.double(), bias)


def least_scale(scale: Tensor, bias: Tensor | None, source: Tensor) -> Tensor:
    """Weight scales for which every bias has a code within an int32.

    A channel whose weights are nearly nothing beside its bias would need one that no int32 holds; a
    coarser scale costs it nothing that can be seen.
    """
    if bias is None:
        return scale
    return torch.maximum(scale, bias.abs() / (source * (BIAS_LIMIT // 2)))


def rounded(weight: Tensor, scale: Tensor, kind: IntType) -> Tensor:
    """int8 codes of weights, nearest; scale broadcasts. A few rows at a time, to save memory."""
    codes = torch.empty_like(weight, dtype=torch.int8)
    parts = (weight, scale.expand(weight.shape), codes)
    for rows, step, result in zip(*map(in_slices, parts), strict=True):
        result.copy_(quantize(rows, step, torch.zeros(()), kind))
    return codes
