"""How sure a mean average precision is: bootstrap over images, exact for every resample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError
from edgewise.tasks.classification import Estimate
from edgewise.tasks.detection.matching import Matches
from edgewise.tasks.detection.precision import Weights, average_precision, precision

Floats = NDArray[np.float64]

_AT_ONCE = 128  # resamples


def mean_precision(matches: Matches, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Mean average precision with its 95 % interval (percentile).

    Images are drawn with replacement; what was matched in an image stays so. A class counts where a
    resample has objects of it. Raises DataError without any object.
    """
    value = precision(matches).mean
    drawn = [weighted(matches, weights) for weights in _draws(matches, resamples, seed)]
    return _estimate(value, np.concatenate(drawn))


def paired_difference(
    ours: Matches, theirs: Matches, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """Mean average precision of `ours` less that of `theirs`, with its 95 % interval (percentile).

    Both are judged on the same resamples of the same images. Raises DataError where the images or
    the protocols differ.
    """
    if ours.protocol != theirs.protocol or not np.array_equal(ours.objects, theirs.objects):
        raise DataError("two detectors are compared on the same images by the same protocol.")
    value = precision(ours).mean - precision(theirs).mean
    drawn = [
        weighted(ours, weights) - weighted(theirs, weights)
        for weights in _draws(ours, resamples, seed)
    ]
    return _estimate(value, np.concatenate(drawn))


def weighted(matches: Matches, weights: Weights) -> Floats:
    """Mean average precision where images are there more than once or not: (resamples,).

    weights: (images, resamples), whole numbers. An image of weight w counts as w equal images, one
    after the other. NaN for a resample without any object.
    """
    total = np.zeros(weights.shape[1])
    present = np.zeros(weights.shape[1])
    for label in range(matches.objects.shape[1]):
        found = average_precision(matches, label, weights).mean(axis=0)
        total += np.nan_to_num(found)
        present += ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        means: Floats = total / present
    return means


def _draws(matches: Matches, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each resample has each image, some resamples at a time."""
    count = len(matches.objects)
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        yield random.multinomial(count, [1 / count] * count, size).T.astype(np.float64)


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high))
