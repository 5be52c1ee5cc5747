"""Scales of weights by what rounding and clipping cost together, not by the largest weight."""

import torch
from torch import Tensor

from edgewise.graph.layer import in_slices
from edgewise.quant.affine import channel_scales, quantize
from edgewise.quant.scheme import IntType

_CANDIDATES = 80
_NARROWEST = 0.2  # of the whole range; below 8 bits no weights that were seen want less


@torch.no_grad()
def mse_channel_scales(weight: Tensor, axis: int, kind: IntType) -> Tensor:
    """Scale (channels,) of least squared error, among shrunken versions of `channel_scales`.

    weight: floats, output channels along `axis`.
    """
    rows = weight.detach().movedim(axis, 0).flatten(1)
    whole = channel_scales(weight, axis, kind)
    return torch.cat([_best(part, scale, kind) for part, scale in _parts(rows, whole)])


def _parts(rows: Tensor, scales: Tensor) -> list[tuple[Tensor, Tensor]]:
    parts = in_slices(rows)
    return list(zip(parts, torch.split(scales, [len(part) for part in parts]), strict=True))


def _best(rows: Tensor, whole: Tensor, kind: IntType) -> Tensor:
    best, least = whole, _error(rows, whole, kind)
    for shrink in torch.linspace(1.0, _NARROWEST, _CANDIDATES).tolist()[1:]:
        scale = whole * shrink
        error = _error(rows, scale, kind)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return best


def _error(rows: Tensor, scale: Tensor, kind: IntType) -> Tensor:
    """Sum of squared errors of every row, float64."""
    step = scale[:, None]
    error = quantize(rows, step, torch.zeros(()), kind).mul_(step).sub_(rows)
    return error.square_().double().sum(1)
