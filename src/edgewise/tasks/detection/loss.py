"""What a detector is trained with: CIoU of boxes, cross-entropy of objectness and classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise.errors import DataError
from edgewise.tasks.detection.assign import COLUMNS, Assignment, Positives, assign
from edgewise.tasks.detection.decoder import BOUND, BOX, Decoder
from edgewise.tasks.detection.overlap import complete_overlap, intersection_over_union


@dataclass(frozen=True)
class Detection:
    """Images with objects to find.

    ignored: background is not judged where the predicted box overlaps an object, difficult or not,
    by more than this; box: weight of the boxes' loss; label_smoothing: half of it is taken from
    the target of the class and given to every other. Raises DataError where a share is none, or
    where neighbouring cells are to find a centre that the decoder cannot place there.
    """

    decoder: Decoder
    assignment: Assignment = Assignment()
    ignored: float = 0.6
    box: float = 2.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.assignment.neighbours and self.decoder.spread < 2:
            raise DataError(
                f"neighbouring cells do not reach a centre with a spread of {self.decoder.spread}; "
                "use a spread of 2, or an assignment without neighbours."
            )
        if not (0 <= self.ignored <= 1 and 0 <= self.label_smoothing < 1 and self.box >= 0):
            raise DataError("a loss needs shares from 0 to 1 and a weight that is not negative.")

    def loss(self, maps: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Sum over the batch, divided by its number of positives.

        maps: coarsest first, (n, anchors * (5 + classes), h, w); targets: (n, most, 6): class,
        centre x, centre y, width and height in pixels of the network's input, difficult 0 or 1;
        class -1 is padding. In float32 also under autocast. Raises DataError where these are not
        the decoder's.
        """
        strides = self.decoder.strides([one.shape for one in maps])
        _refuse(maps, targets)
        with torch.autocast(device_type=targets.device.type, enabled=False):
            grids = [(one.shape[2], one.shape[3]) for one in maps]
            found = assign(self.decoder, self.assignment, grids, targets)
            terms = [
                self._term(maps[place].float(), place, strides[place], (found[place], targets))
                for place in range(len(maps))
            ]
            count = max(1, sum(len(one.image) for one in found))
            return torch.stack(terms).sum() / count

    def _term(
        self, logits: Tensor, place: int, stride: int, wanted: tuple[Positives, Tensor]
    ) -> Tensor:
        """The sum of one map's losses."""
        positives, targets = wanted
        anchors = torch.tensor(self.decoder.anchors[place], device=logits.device)
        count, _, height, width = logits.shape
        values = logits.view(count, len(anchors), -1, height, width).permute(0, 1, 3, 4, 2)
        chosen = values[positives.place]
        corners = torch.stack((positives.column, positives.row), dim=1)
        boxes = self._boxes(chosen, corners, anchors[positives.anchor], stride)
        box = (1 - complete_overlap(boxes, _corners(positives.targets))).sum()
        objectness = self._objectness(values, (anchors, stride), wanted)
        labels = F.one_hot(positives.targets[:, 0].long(), self.decoder.classes).float()
        labels = labels * (1 - self.label_smoothing) + self.label_smoothing / 2
        classes = F.binary_cross_entropy_with_logits(chosen[:, BOX:], labels, reduction="sum")
        return self.box * box + objectness + classes

    def _objectness(
        self, values: Tensor, grid: tuple[Tensor, int], wanted: tuple[Positives, Tensor]
    ) -> Tensor:
        """Cross-entropy of all places that are judged; grid is the map's anchors and stride."""
        positives, targets = wanted
        anchors, stride = grid
        judged = ~self._near(values.detach(), anchors, stride, targets)
        sure = torch.zeros_like(judged, dtype=torch.float32)
        judged[positives.place], sure[positives.place] = True, 1.0
        losses = F.binary_cross_entropy_with_logits(values[..., 4], sure, reduction="none")
        return torch.where(judged, losses, 0.0).sum()

    def _near(self, values: Tensor, anchors: Tensor, stride: int, targets: Tensor) -> Tensor:
        """Which places predict a box near any object: bool (n, anchors, h, w)."""
        rows, columns = (torch.arange(size, device=values.device) for size in values.shape[2:4])
        corners = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        boxes = self._boxes(values, corners, anchors[:, None, None], stride).flatten(1, 3)
        shared = intersection_over_union(boxes[:, None], _corners(targets.float())[:, :, None])
        near = (shared > self.ignored) & (targets[:, :, :1] >= 0)
        return near.any(dim=1).view(values.shape[:4])

    def _boxes(self, values: Tensor, corners: Tensor, anchors: Tensor, stride: int) -> Tensor:
        """Left, top, right, bottom (..., 4) from logits (..., 5 + classes)."""
        spread = self.decoder.spread
        shift = spread * torch.sigmoid(values[..., :2]) - (spread - 1) / 2
        centre = (corners + shift) * stride
        half = anchors * torch.exp(values[..., 2:4].clamp(-BOUND, BOUND)) / 2
        return torch.cat((centre - half, centre + half), dim=-1)


def _corners(targets: Tensor) -> Tensor:
    """Left, top, right, bottom (..., 4) of targets (..., 6)."""
    centre, half = targets[..., 1:3], targets[..., 3:5] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def _refuse(maps: Sequence[Tensor], targets: Tensor) -> None:
    if targets.ndim != 3 or targets.shape[2] != COLUMNS:
        raise DataError(
            f"targets are (images, objects, {COLUMNS}), not of shape {tuple(targets.shape)}."
        )
    if any(len(one) != len(targets) for one in maps):
        raise DataError(
            f"maps of {[len(one) for one in maps]} images and targets of {len(targets)} are not "
            "of one batch."
        )
