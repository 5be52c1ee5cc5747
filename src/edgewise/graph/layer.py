"""The operations that multiply by weights, each with the BatchNorm that follows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Geometry = Mapping[str, Any]

_SLICE = 1 << 17  # values

_RUN: Mapping[str, Callable[..., Tensor]] = {
    "conv2d": F.conv2d,
    "conv_transpose2d": F.conv_transpose2d,
    "linear": F.linear,
}


@dataclass(frozen=True)
class Form:
    """What a weighted layer does, without its weights.

    kind: conv2d, conv_transpose2d or linear; path: the layer's name in the user's module;
    geometry: stride, padding and so on, as keyword arguments of that function.
    """

    kind: str
    path: str
    geometry: Geometry

    @property
    def out_axis(self) -> int:
        """Which axis of the weights counts the output channels."""
        return 1 if self.kind == "conv_transpose2d" else 0

    def run(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's arithmetic."""
        return _RUN[self.kind](inputs, weight, bias, **self.geometry)

    def per_channel(self, values: Tensor, rank: int) -> Tensor:
        """Values (output channels,) in a shape that broadcasts against weights of that rank."""
        shape = [1] * rank
        shape[self.out_axis] = -1
        return values.view(shape)


class WeightedLayer(nn.Module):
    """One call of a convolution or linear layer.

    A layer that a network calls twice gives two of these, which share their parameters: what
    depends on the input (the bias step of a quantized layer) differs from call to call.
    """

    def __init__(self, form: Form, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.form = form
        self.weight = weight
        self.bias = bias
        self.batch_norm: nn.BatchNorm2d | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        result = self.form.run(inputs, self.weight, self.bias)
        return result if self.batch_norm is None else cast(Tensor, self.batch_norm(result))

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weights and bias with BatchNorm in them, computed in float64 and rounded once.

        Jacob et al. 2018, section 3.2: w' = w * gamma / sigma, b' = beta + (b - mean) * gamma /
        sigma.
        """
        bias = None if self.bias is None else self.bias.detach()
        if self.batch_norm is None:
            return self.weight.detach(), bias
        scale, shift = batch_norm_affine(self.batch_norm)
        weight = self.weight.detach()
        factors = self.form.per_channel(scale, weight.ndim).expand(weight.shape)
        folded = torch.empty_like(weight)
        for rows, factor, result in zip(*map(in_slices, (weight, factors, folded)), strict=True):
            result.copy_(rows.double() * factor)
        moved = shift if bias is None else shift + bias.double() * scale
        return folded, moved.to(weight.dtype)


def in_slices(tensor: Tensor) -> tuple[Tensor, ...]:
    """Views of a few rows each, so that what is computed on the way stays small."""
    rows = max(1, _SLICE * len(tensor) // max(1, tensor.numel()))
    return torch.split(tensor, rows)


@torch.no_grad()
def batch_norm_affine(module: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift, float64 (channels,), that BatchNorm applies in eval mode."""
    assert module.running_mean is not None, "capture keeps only BatchNorm with statistics"
    assert module.running_var is not None
    scale = torch.rsqrt(module.running_var.double() + module.eps)
    shift = -module.running_mean.double() * scale
    if module.affine:
        scale = scale * module.weight.double()
        shift = shift * module.weight.double() + module.bias.double()
    return scale, shift


def as_depthwise(module: nn.BatchNorm2d, path: str) -> WeightedLayer:
    """A BatchNorm with no convolution before it, as the 1x1 depthwise convolution that it is."""
    scale, shift = batch_norm_affine(module)
    channels = scale.numel()
    weight = nn.Parameter(scale.float().view(channels, 1, 1, 1), requires_grad=False)
    bias = nn.Parameter(shift.float(), requires_grad=False)
    geometry = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": channels}
    return WeightedLayer(Form("conv2d", path, geometry), weight, bias)
