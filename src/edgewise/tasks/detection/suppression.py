"""Non-maximum suppression: of boxes that overlap, the best stays.

A test holds this and edgewise.worker.detect on the device equal.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.objects import Boxes
from edgewise.errors import DataError
from edgewise.tasks.detection.decode import Maps, candidates
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections, from_rows

Table = NDArray[np.float32]  # (6, k): left, top, right, bottom, area, class
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_BLOCK = 128  # candidates that are held against one another at once


@dataclass(frozen=True)
class Suppression:
    """Which boxes are detections.

    score: a detection has a higher one; overlap: intersection over union with a better detection of
    the same class is no higher; most: detections an image. Raises DataError where these cannot be
    meant.
    """

    score: float = 0.005
    overlap: float = 0.45
    most: int = 100

    def __post_init__(self) -> None:
        shares = (self.score, self.overlap)
        if not all(math.isfinite(share) and 0 <= share <= 1 for share in shares) or self.most < 1:
            raise DataError(
                f"detections need a score and an overlap from 0 to 1 and room for one, not "
                f"{self.score}, {self.overlap} and {self.most}."
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> "Suppression":
        """The settings in `value`; raises DataError when it holds none."""
        if not isinstance(value, Mapping):
            raise DataError("settings of detection are an object.")
        try:
            return Suppression(float(value["score"]), float(value["overlap"]), int(value["most"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"not settings of detection: {error!r}.") from error


def detect(maps: Maps, decoder: Decoder, suppression: Suppression) -> tuple[Detections, ...]:
    """The detections in every image of a batch, from its maps, coarsest first."""
    found = from_rows(candidates(maps, decoder, suppression.score), len(maps[0]))
    return tuple(_suppressed(one, suppression) for one in found)


def _suppressed(found: Detections, settings: Suppression) -> Detections:
    kept = suppress(found.classes, found.boxes, settings.overlap, settings.most)
    return Detections(found.classes[kept], found.scores[kept], found.boxes[kept])


def suppress(classes: Ints, boxes: Boxes, overlap: float, most: int) -> Ints:
    """Which boxes stay, at most so many: indices into boxes (k, 4), which come best first.

    Greedy: a box goes where a better one of its class that stays overlaps it by more than
    `overlap` (intersection over union).
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    columns = (boxes, areas, classes.astype(np.float32))
    table = np.ascontiguousarray(np.column_stack(columns).T)
    share = np.float32(overlap)
    kept: Ints = np.zeros(0, np.int64)
    for start in range(0, len(boxes), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(boxes)))
        block = block[~_clashes(table[:, kept], table[:, block], share).any(axis=0)]
        stay = _greedy(_clashes(table[:, block], table[:, block], share))
        kept = np.concatenate((kept, block[stay]))
        if len(kept) >= most:
            break
    return kept[:most]


def _greedy(clashes: Bools) -> Bools:
    """Which of some boxes stay, where clashes[i, j] says that i, if it stays, removes a later j."""
    stay = np.ones(len(clashes), np.bool_)
    for place in np.flatnonzero(np.triu(clashes, 1).any(axis=1)):
        if stay[place]:
            stay[place + 1 :] &= ~clashes[place, place + 1 :]
    return stay


def _clashes(first: Table, second: Table, overlap: np.float32) -> Bools:
    """Which pairs are of one class and overlap by more: (n, m) of tables (6, n) and (6, m)."""
    ours, theirs = first[:, :, None], second[:, None, :]
    width = np.minimum(ours[2], theirs[2]) - np.maximum(ours[0], theirs[0])
    height = np.minimum(ours[3], theirs[3]) - np.maximum(ours[1], theirs[1])
    common = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
    union = ours[4] + theirs[4] - common
    found: Bools = (common > overlap * union) & (ours[5] == theirs[5])
    return found
