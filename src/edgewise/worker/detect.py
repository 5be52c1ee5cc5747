"""Boxes from a detector's maps: numpy's twin of edgewise.tasks.detection on the device.

A test holds the two bitwise equal, so the operations and their order are the same here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .job import WorkerError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_SCHEMA = "yolo/1"
_BOX = 5  # x, y, width, height and objectness come before the classes
_BOUND = np.float32(8)  # of the exponent of a size
_STEEP = np.float32(80)  # beyond it a sigmoid is 0 or 1, and exp still finite
_BLOCK = 256  # candidates that are held against one another at once


def detect(
    maps: Sequence[NDArray[Any]], decoder: Mapping[str, Any], settings: Mapping[str, Any]
) -> Floats:
    """Detections in a batch: rows (image, class, score, left, top, right, bottom).

    maps: coarsest first, (n, anchors * (5 + classes), h, w); decoder: the stored form of
    edgewise.tasks.detection.decoder.Decoder; settings: of its Suppression. Raises WorkerError for
    what is none of these, and for maps with NaN.
    """
    try:
        score, overlap, most = _limits(settings)
        parts = [
            _candidates(maps[place], anchors, decoder, score)
            for place, anchors in enumerate(_read(maps, decoder))
        ]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise WorkerError(f"maps, decoder and settings do not fit: {error!r}.") from error
    rows: Floats = np.concatenate(parts)
    rows = rows[np.lexsort((-rows[:, 2], rows[:, 0]))]
    ends = np.searchsorted(rows[:, 0], np.arange(len(maps[0]) + 1))
    kept = []
    for image, start in enumerate(ends[:-1]):
        own = rows[start : ends[image + 1]]
        kept.append(start + suppress(own[:, 1], own[:, 3:], overlap, most))
    result: Floats = rows[np.concatenate([np.zeros(0, np.int64), *kept])]
    return result


def _limits(settings: Mapping[str, Any]) -> tuple[np.float32, np.float32, int]:
    score, overlap, most = settings["score"], settings["overlap"], int(settings["most"])
    if not (0 <= score <= 1 and 0 <= overlap <= 1 and most >= 1):
        raise WorkerError(f"no detection has a score and an overlap of {score} and {overlap}, "
                          f"or room among {most}.")  # fmt: skip
    return np.float32(score), np.float32(overlap), most


def _read(maps: Sequence[NDArray[Any]], decoder: Mapping[str, Any]) -> list[Floats]:
    """The anchors (anchors, 2) of each map, once the maps are found to be the decoder's."""
    if decoder.get("schema") != _SCHEMA:
        raise WorkerError(f"maps need a decoder of {_SCHEMA}, not {decoder.get('schema')}.")
    anchors = [np.asarray(one, np.float32).reshape(-1, 2) for one in decoder["anchors"]]
    if len(maps) != len(anchors) or not len(maps):
        raise WorkerError(f"a decoder of {len(anchors)} maps cannot read {len(maps)}.")
    size = int(decoder["height"]), int(decoder["width"])
    numbers = np.concatenate([*(one.ravel() for one in anchors), [float(decoder["spread"])]])
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise WorkerError("a decoder needs finite anchors and a spread over zero.")
    for place, one in enumerate(maps):
        channels = len(anchors[place]) * (_BOX + int(decoder["classes"]))
        stride = size[0] // max(one.shape[2], 1) if one.ndim == 4 else 0
        shape = (len(maps[0]), channels, size[0] // max(stride, 1), size[1] // max(stride, 1))
        if one.shape != shape or (shape[2] * stride, shape[3] * stride) != size:
            raise WorkerError(
                f"a map of shape {one.shape} is none of {channels} channels for an input of "
                f"{size[0]}x{size[1]} pixels."
            )
        if np.isnan(one).any():
            raise WorkerError("a map holds NaN; the network or its input is broken.")
    return anchors


def _candidates(
    given: NDArray[Any], anchors: Floats, decoder: Mapping[str, Any], least: np.float32
) -> Floats:
    """All boxes of one map with a score over `least`, as rows; scores first, most are low."""
    count, channels, height, width = given.shape
    stride = np.float32(int(decoder["height"]) // height)
    spread = np.float32(decoder["spread"])
    shape = (count, len(anchors), channels // len(anchors), height, width)
    maps = given.astype(np.float32, copy=False).reshape(shape)
    likely = sigmoid(maps[:, :, 4])
    image, anchor, row, column = np.nonzero(likely > least)
    scores = likely[image, anchor, row, column, None] * sigmoid(
        maps[image, anchor, _BOX:, row, column]
    )
    cell, label = np.nonzero(scores > least)
    image, anchor, row, column = image[cell], anchor[cell], row[cell], column[cell]
    logits = maps[image, anchor, :4, row, column]
    corner = np.stack((column, row), axis=1).astype(np.float32)
    shift = spread * sigmoid(logits[:, :2]) - (spread - np.float32(1)) / np.float32(2)
    centre = (corner + shift) * stride
    half = anchors[anchor] * np.exp(np.clip(logits[:, 2:], -_BOUND, _BOUND)) / np.float32(2)
    rows: Floats = np.empty((len(cell), 7), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 2] = image, label, scores[cell, label]
    rows[:, 3:5], rows[:, 5:7] = centre - half, centre + half
    return rows


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), which never overflows."""
    result: Floats = np.float32(1) / (np.float32(1) + np.exp(-np.clip(logits, -_STEEP, _STEEP)))
    return result


def suppress(classes: Floats, boxes: Floats, overlap: np.float32, most: int) -> Ints:
    """Which boxes stay, at most so many: indices into boxes (k, 4), which come best first.

    Greedy: a box goes where a better one of its class that stays overlaps it by more than
    `overlap` (intersection over union).
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    table = np.ascontiguousarray(np.column_stack((boxes, areas, classes)).T)
    kept: Ints = np.zeros(0, np.int64)
    for start in range(0, len(boxes), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(boxes)))
        block = block[~_clashes(table[:, kept], table[:, block], overlap).any(axis=0)]
        stay = _greedy(_clashes(table[:, block], table[:, block], overlap))
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


def _clashes(first: Floats, second: Floats, overlap: np.float32) -> Bools:
    """Which pairs are of one class and overlap by more: (n, m) of tables (6, n) and (6, m)."""
    ours, theirs = first[:, :, None], second[:, None, :]
    width = np.minimum(ours[2], theirs[2]) - np.maximum(ours[0], theirs[0])
    height = np.minimum(ours[3], theirs[3]) - np.maximum(ours[1], theirs[1])
    common = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
    union = ours[4] + theirs[4] - common
    found: Bools = (common > overlap * union) & (ours[5] == theirs[5])
    return found
