"""What is to be found in an image: boxes, and of which class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError

Boxes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image.

    classes: int64 (n,); boxes: float32 (n, 4), left, top, right, bottom in pixels of the stored
    image, whose first pixel lies between 0 and 1; difficult: bool (n,), those that nobody is blamed
    for missing. Raises DataError where these do not go together.
    """

    classes: NDArray[np.int64]
    boxes: Boxes
    difficult: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.boxes.shape != (count, 4) or self.difficult.shape != (count,):
            raise DataError(
                f"{count} classes, boxes of shape {self.boxes.shape} and marks of shape "
                f"{self.difficult.shape} are not the same objects."
            )
        if not np.isfinite(self.boxes).all() or (self.boxes[:, 2:] <= self.boxes[:, :2]).any():
            raise DataError("a box needs a right edge after its left and a bottom below its top.")

    def __len__(self) -> int:
        return len(self.classes)
