"""Classification: cross-entropy, and accuracy with intervals that respect pairing."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgewise.errors import DataError

Bools = NDArray[np.bool_]

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Classification:
    """Images with one label each.

    label_smoothing: share of the target spread over all classes (Szegedy et al. 2016).
    """

    label_smoothing: float = 0.0

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of (n, classes) logits against (n,) labels."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Which of n images are right: bool (n,)."""
        return torch.argmax(logits, dim=1) == labels


@dataclass(frozen=True)
class Estimate:
    """A share or a difference of shares with its 95 % interval."""

    value: float
    low: float
    high: float


def accuracy(correct: Bools, seed: int = 0) -> Estimate:
    """Share of right answers; interval by bootstrap over images (percentile, 10,000 resamples).

    Raises DataError where there are no images.
    """
    _refuse_none(correct)
    hits = int(correct.sum())
    draws = np.random.default_rng(seed).binomial(len(correct), hits / len(correct), _RESAMPLES)
    low, high = np.quantile(draws / len(correct), (0.025, 0.975))
    return Estimate(hits / len(correct), float(low), float(high))


def paired_difference(ours: Bools, theirs: Bools, seed: int = 0) -> Estimate:
    """Accuracy of `ours` less that of `theirs` on the same images, with a paired interval.

    Bootstrap over images: only those where exactly one of the two is right matter, so resampling
    their counts from the multinomial is the same as resampling images. Raises DataError where there
    are no images, or not as many for both.
    """
    _refuse_none(ours)
    if len(ours) != len(theirs):
        raise DataError(f"{len(ours)} answers cannot be paired with {len(theirs)}.")
    count = len(ours)
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    shares = (gained / count, lost / count, 1 - (gained + lost) / count)
    draws = np.random.default_rng(seed).multinomial(count, shares, _RESAMPLES)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / count, (0.025, 0.975))
    return Estimate((gained - lost) / count, float(low), float(high))


def _refuse_none(correct: Bools) -> None:
    if not len(correct):
        raise DataError("there are no images to judge by; give at least one.")
