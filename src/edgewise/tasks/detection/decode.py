"""Maps to boxes and scores; a test holds this and edgewise.worker.detect on the device equal.

Scores come first and boxes only for what passes: nearly all cells are background.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError
from edgewise.tasks.detection.decoder import BOUND, BOX, Decoder, Size
from edgewise.tasks.detection.detections import COLUMNS, Rows

Maps = Sequence[NDArray[Any]]

_STEEP = np.float32(80)  # beyond it a sigmoid is 0 or 1, and exp still finite


def candidates(maps: Maps, decoder: Decoder, score: float) -> Rows:
    """Every box and class with a higher score, before suppression.

    Rows (image, class, score, left, top, right, bottom) by image, best first; of equal scores, the
    coarser map, then the lower place in it, then the lower class. Raises DataError for maps that
    are none of the decoder's or hold NaN.
    """
    strides = decoder.strides([one.shape for one in maps])
    if len({len(one) for one in maps}) != 1:
        raise DataError(f"maps of {[len(one) for one in maps]} images are not of one batch.")
    if any(np.isnan(one).any() for one in maps):
        raise DataError("a map holds NaN; the network or its input is broken.")
    rows: Rows = np.concatenate([
        _rows(one, anchors, (stride, decoder.spread), np.float32(score))
        for one, anchors, stride in zip(maps, decoder.anchors, strides, strict=True)
    ])  # fmt: skip
    return rows[np.lexsort((-rows[:, 2], rows[:, 0]))]


def _rows(
    given: NDArray[Any], anchors: tuple[Size, ...], grid: tuple[int, float], least: np.float32
) -> Rows:
    """The rows of one map; grid is its stride and the decoder's spread."""
    stride, spread = np.float32(grid[0]), np.float32(grid[1])
    count, channels, height, width = given.shape
    shape = (count, len(anchors), channels // len(anchors), height, width)
    maps = given.astype(np.float32, copy=False).reshape(shape)
    likely = sigmoid(maps[:, :, 4])
    image, anchor, row, column = np.nonzero(likely > least)
    scores = likely[image, anchor, row, column, None] * sigmoid(
        maps[image, anchor, BOX:, row, column]
    )
    cell, label = np.nonzero(scores > least)
    image, anchor, row, column = image[cell], anchor[cell], row[cell], column[cell]
    logits = maps[image, anchor, :4, row, column]
    corner = np.stack((column, row), axis=1).astype(np.float32)
    shift = spread * sigmoid(logits[:, :2]) - (spread - np.float32(1)) / np.float32(2)
    centre = (corner + shift) * stride
    growth = np.exp(np.clip(logits[:, 2:], np.float32(-BOUND), np.float32(BOUND)))
    half = np.asarray(anchors, np.float32)[anchor] * growth / np.float32(2)
    rows: Rows = np.empty((len(cell), COLUMNS), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 2] = image, label, scores[cell, label]
    rows[:, 3:5], rows[:, 5:7] = centre - half, centre + half
    return rows


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), which never overflows."""
    one = np.float32(1)
    result: NDArray[np.float32] = one / (one + np.exp(-np.clip(logits, -_STEEP, _STEEP)))
    return result
