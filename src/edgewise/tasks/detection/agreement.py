"""How much of what one detector finds another finds too; no objects are needed for that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.errors import DataError
from edgewise.tasks.detection.detections import Detections

_SURE = 0.5  # detections of the reference that count
_LIKELY = 0.25  # detections that may repeat one
_OVERLAP = 0.5


@dataclass(frozen=True)
class Agreement:
    """repeated: how many of `of` sure detections of the reference the other repeats."""

    repeated: int
    of: int

    @property
    def share(self) -> float:
        """Raises DataError where the reference is sure of nothing."""
        if not self.of:
            raise DataError(
                f"the reference has no detection above {_SURE}, so there is nothing to repeat."
            )
        return self.repeated / self.of


def agreement(reference: Sequence[Detections], other: Sequence[Detections]) -> Agreement:
    """Which detections above 0.5 the other repeats above 0.25 in the same image.

    Repeated is what has the same class and overlaps by more than half. Raises DataError where the
    numbers of images differ.
    """
    if len(reference) != len(other):
        raise DataError(f"detections in {len(reference)} images and in {len(other)}.")
    sure = [one.above(_SURE) for one in reference]
    repeated = [
        _repeated(ours, theirs.above(_LIKELY)) for ours, theirs in zip(sure, other, strict=True)
    ]
    return Agreement(sum(repeated), sum(len(one) for one in sure))


def _repeated(ours: Detections, theirs: Detections) -> int:
    first, second = ours.boxes[:, None].astype(np.float64), theirs.boxes.astype(np.float64)
    low, high = np.maximum(first[..., :2], second[:, :2]), np.minimum(first[..., 2:], second[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (first, second)]
    near = common > _OVERLAP * (areas[0] + areas[1] - common)
    return int((near & (ours.classes[:, None] == theirs.classes)).any(axis=1).sum())
