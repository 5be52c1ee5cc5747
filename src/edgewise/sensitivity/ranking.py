"""Whether a cheap measure ranks layers as the measured loss does."""

import numpy as np
from numpy.typing import NDArray

from edgewise.stats import Interval

Floats = NDArray[np.float64]


def ranks(values: Floats) -> Floats:
    """1 for the smallest; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return shared


def spearman(one: Floats, other: Floats) -> float | None:
    """Spearman's rank correlation; None where either ranks nothing."""
    ours, theirs = (ranks(values) - (len(values) + 1) / 2 for values in (one, other))
    scale = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / scale) if scale > 0 else None


def agreement(cheap: Floats, measured: Floats, draws: Floats) -> Interval | None:
    """Rank correlation of a cheap measure with the measured one, (parts,) each.

    draws: (resamples, parts) of the measured one, whose correlations give the 95 % interval; it
    lies rather low, because resampling adds noise to what is noisy. None for fewer than three
    parts, or where all are alike.
    """
    value = spearman(cheap, measured) if len(cheap) > 2 else None
    if value is None:
        return None
    drawn = [rho for rho in (spearman(cheap, draw) for draw in draws) if rho is not None]
    low, high = np.quantile(drawn or [value], (0.025, 0.975))
    return Interval(value, float(low), float(high))
