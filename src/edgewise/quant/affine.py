"""The affine quantizer: q = clamp(round(x / scale) + zero_point), x' = (q - zero_point) * scale.

Division and rounding half to even, as runtimes do; torch.fake_quantize multiplies by 1 / scale,
which differs at ties.
"""

import torch
from torch import Tensor

from edgewise.quant.scheme import IntType

_SMALLEST = 1e-12  # of a scale: an all-zero tensor has no range of its own


def quantize(values: Tensor, scale: Tensor, zero_point: Tensor, kind: IntType) -> Tensor:
    """Codes of `values`, as floats; scale and zero_point broadcast against them."""
    return torch.clamp(torch.round(values / scale) + zero_point, kind.low, kind.high)


def dequantize(codes: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """The values that codes stand for."""
    return (codes - zero_point) * scale


def affine_parameters(low: float, high: float, kind: IntType) -> tuple[Tensor, Tensor]:
    """Scale and zero point, float32 scalars, of a range; zero is always a code.

    Jacob et al. 2018, section 3: a padded zero must be exact.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = torch.tensor(max((high - low) / (kind.high - kind.low), _SMALLEST), dtype=torch.float32)
    zero = torch.round(torch.tensor(kind.low, dtype=torch.float32) - low / scale)
    return scale, torch.clamp(zero, kind.low, kind.high)


def symmetric_parameters(low: float, high: float, kind: IntType) -> tuple[Tensor, Tensor]:
    """Scale and zero point of a range around zero, as TensorRT wants them."""
    bound = max(abs(low), abs(high))
    middle = 0.0 if kind.signed else float((kind.high + 1) // 2)
    scale = max(bound / (kind.high - middle), _SMALLEST)
    return torch.tensor(scale, dtype=torch.float32), torch.tensor(middle)


def channel_scales(weight: Tensor, axis: int, kind: IntType) -> Tensor:
    """The smallest scale (channels,) for which every weight of a channel has a code, unclipped."""
    low, high = torch.aminmax(weight.detach().movedim(axis, 0).flatten(1), dim=1)
    return torch.maximum(low / kind.low, high / kind.high).clamp_min(_SMALLEST)
