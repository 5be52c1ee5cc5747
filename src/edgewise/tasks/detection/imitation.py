"""Distillation of detectors: learn from the maps of another one."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise.tasks.detection.decoder import BOX, Decoder


def imitation(ours: Sequence[Tensor], theirs: Sequence[Tensor], decoder: Decoder) -> Tensor:
    """How far maps (n, anchors * (5 + classes), h, w) are from a teacher's for the same images.

    Objectness everywhere by cross-entropy; boxes and classes where the teacher sees objects,
    weighted by its objectness, over the sum of those weights (Mehta and Ozturk 2018).
    """
    total, weight = torch.zeros((), device=ours[0].device), torch.zeros((), device=ours[0].device)
    for own, other, anchors in zip(ours, theirs, decoder.anchors, strict=True):
        shape = (len(own), len(anchors), BOX + decoder.classes, *own.shape[2:])
        mine, given = own.float().view(shape), other.float().view(shape)
        sure = torch.sigmoid(given[:, :, 4])
        seen = F.binary_cross_entropy_with_logits(mine[:, :, 4], sure, reduction="sum")
        boxes = F.smooth_l1_loss(_box(mine), _box(given), reduction="none", beta=0.1).sum(2)
        names = F.binary_cross_entropy_with_logits(
            mine[:, :, BOX:], torch.sigmoid(given[:, :, BOX:]), reduction="none"
        ).sum(2)
        total = total + seen + (sure * (boxes + names)).sum()
        weight = weight + sure.sum()
    return total / weight.clamp(min=1.0)


def _box(maps: Tensor) -> Tensor:
    """Places within a cell, and logarithms of sizes over the anchor's."""
    return torch.cat([torch.sigmoid(maps[:, :, :2]), maps[:, :, 2:4]], 2)
