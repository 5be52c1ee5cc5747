"""Which detections are right: each object is found once, by the rule of VOC or by that of COCO."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.data.objects import Objects
from edgewise.errors import DataError
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.protocol import Protocol

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_NEARLY_ONE = 1 - 1e-10  # COCO asks for no higher overlap


@dataclass(frozen=True, eq=False)
class Matches:
    """Every detection of a set of images and whether it is right, by class and best first.

    objects: (images, classes), how many are to be found, difficult ones left out; classes, images
    and scores: (k,), of the detections; right, wrong: (thresholds, k); a detection of a difficult
    object is neither.
    """

    protocol: Protocol
    objects: Ints
    classes: Ints
    images: Ints
    scores: Floats
    right: Bools
    wrong: Bools

    def of_class(self, place: int) -> slice:
        """Where the detections of this class are."""
        start, stop = np.searchsorted(self.classes, (place, place + 1))
        return slice(int(start), int(stop))


@dataclass(frozen=True, eq=False)
class _Flat:
    """Detections or objects of all images in a row; group: image * classes + class."""

    group: Ints
    boxes: Floats
    scores: Floats  # of objects: 0
    difficult: Bools  # of detections: false

    def take(self, order: Ints) -> "_Flat":
        return _Flat(
            self.group[order], self.boxes[order], self.scores[order], self.difficult[order]
        )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Detections and objects of the same image and class that overlap, by detection."""

    detection: Ints
    object: Ints
    overlap: Floats

    def take(self, chosen: Ints | Bools) -> "_Pairs":
        return _Pairs(self.detection[chosen], self.object[chosen], self.overlap[chosen])


def match(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    classes: int,
    protocol: Protocol,
) -> Matches:
    """Match the detections in every image with its objects.

    Detections of equal score keep the order of images and that within an image. Raises DataError
    where there are not as many of both, or a class is none of so many.
    """
    if len(detections) != len(objects):
        raise DataError(f"detections in {len(detections)} images and objects in {len(objects)}.")
    found = _flat(detections, [one.scores for one in detections], None, classes)
    wanted = _flat(objects, None, [one.difficult for one in objects], classes)
    found = found.take(np.lexsort((-found.scores, found.group)))
    found = _first(found, protocol.most)
    wanted = wanted.take(np.argsort(wanted.group, kind="stable"))
    pairs = _pairs(found, wanted)
    rule = _free if protocol.free else _best
    count = len(found.group)
    held = np.stack([rule(pairs, wanted, threshold, count) for threshold in protocol.thresholds])
    order = np.lexsort((found.group, -found.scores, found.group % classes))
    counts = np.bincount(wanted.group[~wanted.difficult], minlength=len(objects) * classes)
    return Matches(
        protocol, counts.reshape(len(objects), classes),
        found.group[order] % classes, found.group[order] // classes, found.scores[order],
        held[:, order] == 1, held[:, order] == 0,
    )  # fmt: skip


def _flat(
    images: Sequence[Detections] | Sequence[Objects],
    scores: Sequence[NDArray[np.float32]] | None,
    difficult: Sequence[Bools] | None,
    classes: int,
) -> _Flat:
    labels = np.concatenate([np.zeros(0, np.int64), *(one.classes for one in images)])
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"classes {labels.min()} to {labels.max()} are not 0 to {classes - 1}.")
    image = np.repeat(np.arange(len(images)), [len(one) for one in images])
    boxes = np.concatenate([np.zeros((0, 4)), *(one.boxes for one in images)], dtype=np.float64)
    return _Flat(
        image * classes + labels,
        boxes,
        np.zeros(len(labels)) if scores is None else np.concatenate([[], *scores]),
        np.zeros(len(labels), bool)
        if difficult is None
        else np.concatenate([np.zeros(0, bool), *difficult]),
    )


def _first(found: _Flat, most: int | None) -> _Flat:
    """The best `most` of every image and class."""
    if most is None:
        return found
    rank = np.arange(len(found.group)) - np.searchsorted(found.group, found.group)
    return found.take(np.flatnonzero(rank < most))


def _pairs(found: _Flat, wanted: _Flat) -> _Pairs:
    start = np.searchsorted(wanted.group, found.group)
    count = np.searchsorted(wanted.group, found.group, side="right") - start
    detection = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    target = np.repeat(start, count) + within
    return _Pairs(detection, target, _overlap(found.boxes[detection], wanted.boxes[target]))


def _overlap(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes (k, 4), pair by pair."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(first[:, 2:] - first[:, :2], axis=1)
    others = np.prod(second[:, 2:] - second[:, :2], axis=1)
    shares: Floats = common / (areas + others - common)
    return shares


def _best(pairs: _Pairs, wanted: _Flat, threshold: float, count: int) -> Ints:
    """VOC's rule: a detection means the object that it overlaps most, and the first one has it.

    (count,): 1 right, 0 wrong, -1 neither (the object is difficult), as in Everingham et al. 2010.
    """
    order = np.lexsort((pairs.object, -pairs.overlap, pairs.detection))
    _, first = np.unique(pairs.detection[order], return_index=True)
    meant = pairs.take(order[first])
    meant = meant.take(meant.overlap >= threshold)
    result = np.zeros(count, np.int64)
    _, first = np.unique(meant.object, return_index=True)
    result[meant.detection[first]] = 1
    result[meant.detection[wanted.difficult[meant.object]]] = -1
    return result


def _free(pairs: _Pairs, wanted: _Flat, threshold: float, count: int) -> Ints:
    """COCO's rule: best first, a detection has the object that it overlaps most of those left.

    Difficult objects come last and are had once as well. Detections ask all at once, and who is
    refused, since a better one has the object, asks for the next: that ends as taking turns does
    (Gale and Shapley 1962, with one order of merit for all). (count,) as in VOC's rule.
    """
    pairs = pairs.take(pairs.overlap >= min(threshold, _NEARLY_ONE))
    difficult = wanted.difficult[pairs.object]
    pairs = pairs.take(np.lexsort((-pairs.object, -pairs.overlap, difficult, pairs.detection)))
    last = np.searchsorted(pairs.detection, pairs.detection, side="right")
    asking = np.unique(pairs.detection, return_index=True)[1]
    while True:
        holder = np.full(len(wanted.group), count)
        np.minimum.at(holder, pairs.object[asking], pairs.detection[asking])
        refused = holder[pairs.object[asking]] != pairs.detection[asking]
        if not refused.any():
            break
        ahead = asking + refused
        asking = ahead[ahead < last[asking]]
    result = np.zeros(count, np.int64)
    difficult = wanted.difficult[pairs.object[asking]]
    result[pairs.detection[asking]] = np.where(difficult, -1, 1)
    return result
