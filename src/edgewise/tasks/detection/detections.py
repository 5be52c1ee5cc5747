"""What a detector found in an image: boxes, of which class and how surely."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.data.objects import Boxes
from edgewise.errors import DataError

Rows = NDArray[np.float32]
COLUMNS = 7  # image, class, score, left, top, right, bottom


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections in one image, best first.

    classes: int64 (k,); scores: float32 (k,); boxes: float32 (k, 4), left, top, right, bottom in
    pixels. Raises DataError where these do not go together, are not finite or not in order.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: Boxes

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,):
            raise DataError(
                f"{count} classes, scores of shape {self.scores.shape} and boxes of shape "
                f"{self.boxes.shape} are not the same detections."
            )
        if not (np.isfinite(self.scores).all() and np.isfinite(self.boxes).all()):
            raise DataError("detections need finite scores and boxes.")
        if (self.scores[1:] > self.scores[:-1]).any():
            raise DataError("detections come best first; sort them by falling score.")
        if (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise DataError("a box cannot end before it begins.")

    def __len__(self) -> int:
        return len(self.classes)

    def above(self, score: float) -> "Detections":
        """Those with a higher score than this."""
        kept = self.scores > score
        return Detections(self.classes[kept], self.scores[kept], self.boxes[kept])


def from_rows(rows: Rows, images: int) -> tuple[Detections, ...]:
    """The detections of every image, from rows (k, 7) in the order of images.

    A row is image, class, score, left, top, right, bottom, as a device stores it. Raises DataError
    where the rows are none of so many images.
    """
    if rows.ndim != 2 or rows.shape[1] != COLUMNS:
        raise DataError(f"detections are rows of {COLUMNS} numbers, not of shape {rows.shape}.")
    whole = np.nan_to_num(rows[:, :2], nan=-1, posinf=-1, neginf=-1).astype(np.int64)
    place = whole[:, 0]
    if len(rows) and ((whole != rows[:, :2]).any() or whole.min() < 0 or place.max() >= images):
        raise DataError(f"rows of detections need classes, and images from 0 to {images - 1}.")
    if (np.diff(place) < 0).any():
        raise DataError("rows of detections come in the order of their images.")
    ends = np.searchsorted(place, np.arange(images + 1))
    return tuple(
        Detections(whole[start:stop, 1], rows[start:stop, 2], rows[start:stop, 3:])
        for start, stop in zip(ends[:-1], ends[1:], strict=True)
    )
