"""Average precision: the precision of detections, averaged over recall, classes and overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.data.objects import Objects
from edgewise.errors import DataError
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.matching import Matches, match
from edgewise.tasks.detection.protocol import Protocol

Floats = NDArray[np.float64]
Weights = NDArray[np.float64]  # (images, resamples): how often each image is there


@dataclass(frozen=True, eq=False)
class Precision:
    """How well a detector does.

    average: average precision (thresholds, classes), NaN for a class without objects; recall:
    (thresholds, classes), of all detections together, NaN likewise.
    """

    protocol: Protocol
    average: Floats
    recall: Floats

    @property
    def mean(self) -> float:
        """Over the classes that have objects and all overlaps."""
        return float(np.nanmean(self.average))

    def at(self, threshold: float) -> float:
        """Mean over the classes at one overlap; raises DataError where it was not judged by it."""
        places = np.flatnonzero(np.isclose(self.protocol.thresholds, threshold))
        if not len(places):
            raise DataError(
                f"{self.protocol.name} was judged at overlaps of {self.protocol.thresholds}, "
                f"not {threshold}."
            )
        return float(np.nanmean(self.average[places[0]]))

    def of_class(self, place: int) -> float:
        """Mean over the overlaps for one class; NaN where it has no objects."""
        return float(self.average[:, place].mean())


def evaluate(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    classes: int,
    protocol: Protocol,
) -> Precision:
    """Average precision of the detections in every image; raises DataError without any object."""
    return precision(match(detections, objects, classes, protocol))


def precision(matches: Matches) -> Precision:
    """Average precision of matched detections; raises DataError without any object."""
    if not matches.objects.any():
        raise DataError("there are no objects to find, so there is no precision to speak of.")
    once = np.ones((len(matches.objects), 1))
    totals = matches.objects.sum(axis=0)
    hits = np.stack([np.bincount(matches.classes[row], minlength=len(totals))
                     for row in matches.right])  # fmt: skip
    with np.errstate(invalid="ignore"):
        recall = np.where(totals > 0, hits / totals, np.nan)
    average = np.stack(
        [average_precision(matches, label, once)[:, 0] for label in range(len(totals))], axis=1
    )
    return Precision(matches.protocol, average, recall)


def curve(matches: Matches, label: int, threshold: int = 0) -> tuple[Floats, Floats]:
    """Recall and precision after each detection of a class that counts, best first.

    threshold: the place of one of the protocol's. Raises DataError for a class without objects.
    """
    total = int(matches.objects[:, label].sum())
    if not total:
        raise DataError(f"class {label} has no objects, so no recall.")
    own = matches.of_class(label)
    right, wrong = matches.right[threshold, own], matches.wrong[threshold, own]
    counted = right | wrong
    hits = np.cumsum(right[counted]).astype(np.float64)
    return hits / total, hits / np.arange(1, len(hits) + 1)


def average_precision(matches: Matches, label: int, weights: Weights) -> Floats:
    """Of one class, (thresholds, resamples); NaN where a resample has no object of it.

    An image of weight w counts as w equal images, one after the other.
    """
    own = matches.of_class(label)
    images = matches.images[own]
    totals = matches.objects[:, label] @ weights
    return np.stack([
        _area(_tallies(images, right, wrong, weights), totals, matches.protocol.points)
        for right, wrong in zip(matches.right[:, own], matches.wrong[:, own], strict=True)
    ])  # fmt: skip


def _tallies(
    images: NDArray[np.int64],
    right: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    weights: Weights,
) -> tuple[Floats, Floats]:
    """At each right detection: right ones up to it, wrong ones before it, (right, resamples).

    Wrong ones are counted by image between two right ones first, so that resamples cost no more
    than a product of matrices; whole numbers, so exact.
    """
    hits = images[right]
    before = np.cumsum(right)[wrong]
    missed = images[wrong][before < len(hits)]
    cells = before[before < len(hits)] * len(weights) + missed
    table = np.bincount(cells, np.ones(len(cells)), len(hits) * len(weights))
    counts = table.reshape(len(hits), len(weights)) @ weights
    return np.cumsum(weights[hits], axis=0), np.cumsum(counts, axis=0)


def _area(tallies: tuple[Floats, Floats], totals: Floats, points: int | None) -> Floats:
    """Precision at the best later recall, averaged over recall: (resamples,).

    Recall rises and precision peaks at right detections alone, so these say everything.
    """
    right, wrong = tallies
    with np.errstate(invalid="ignore", divide="ignore"):
        reached = right / totals
        shares = right / (right + wrong)
    peaks = np.maximum.accumulate(np.nan_to_num(shares)[::-1], axis=0)[::-1]
    if points is not None:
        levels = np.linspace(0, 1, points)
        reached = np.searchsorted(levels, reached, side="right") / points
    steps = np.diff(reached, axis=0, prepend=0)
    found: Floats = np.where(totals > 0, (peaks * steps).sum(axis=0), np.nan)
    return found
