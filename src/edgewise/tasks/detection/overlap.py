"""How well boxes cover one another, and what training makes of it (Zheng et al. 2020, CIoU)."""

import math

import torch
from torch import Tensor

_LEAST = 1e-7  # of what is divided by; boxes without area have finite gradients


def intersection_over_union(first: Tensor, second: Tensor) -> Tensor:
    """Of boxes (..., 4), left, top, right, bottom; shapes broadcast."""
    left, top, right, bottom = first.unbind(-1)
    other_left, other_top, other_right, other_bottom = second.unbind(-1)
    width = torch.minimum(right, other_right) - torch.maximum(left, other_left)
    height = torch.minimum(bottom, other_bottom) - torch.maximum(top, other_top)
    common = width.clamp(min=0) * height.clamp(min=0)
    return common / (_area(first) + _area(second) - common).clamp(min=_LEAST)


def complete_overlap(ours: Tensor, theirs: Tensor) -> Tensor:
    """CIoU of boxes (k, 4), pair by pair: 1 for equal ones, down to about -1.5.

    Intersection over union, less the squared distance of the centres as a share of the diagonal of
    what surrounds both, less a term for unlike proportions, whose weight has no gradient.
    """
    shared = intersection_over_union(ours, theirs)
    around = torch.maximum(ours[:, 2:], theirs[:, 2:]) - torch.minimum(ours[:, :2], theirs[:, :2])
    apart = (ours[:, :2] + ours[:, 2:] - theirs[:, :2] - theirs[:, 2:]) / 2
    distance = apart.square().sum(1) / around.square().sum(1).clamp(min=_LEAST)
    unlike = (_proportion(ours) - _proportion(theirs)).square() * (4 / math.pi**2)
    with torch.no_grad():
        weight = unlike / (1 - shared + unlike).clamp(min=_LEAST)
    return shared - distance - weight * unlike


def shape_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (n, m) of sizes (n, 2) and (m, 2) that share their centre."""
    sides = torch.minimum(first[:, None], second)
    common = sides[..., 0] * sides[..., 1]
    areas = (first[:, 0] * first[:, 1])[:, None] + second[:, 0] * second[:, 1]
    return common / (areas - common).clamp(min=_LEAST)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _proportion(boxes: Tensor) -> Tensor:
    """The angle of the diagonal."""
    sizes = (boxes[:, 2:] - boxes[:, :2]).clamp(min=_LEAST)
    return torch.atan2(sizes[:, 0], sizes[:, 1])
