"""How many times faster one artifact is than another that was measured in the same rounds."""

from collections.abc import Sequence

import numpy as np

from edgewise.stats import Interval, Samples, quantile

_RESAMPLES = 2000
_BLOCKS = 20  # of a round: neighbouring samples are alike and are drawn together


def ratio(theirs: Sequence[Samples], ours: Sequence[Samples], seed: int = 0) -> Interval:
    """Median of `theirs` over that of `ours`: geometric mean over the rounds.

    Both have a sample array a round; those of one round ran side by side. 95 % interval by
    bootstrap over rounds, and over blocks of neighbouring samples within them.
    """
    random = np.random.default_rng(seed)
    pairs = list(zip(theirs, ours, strict=True))
    value = np.mean([np.log(quantile(one, 0.5) / quantile(other, 0.5)) for one, other in pairs])
    drawn = np.array([[_medians(each, random) for each in pair] for pair in pairs])
    ratios = np.log(drawn[:, 0] / drawn[:, 1])
    chosen = random.integers(len(pairs), size=(len(pairs), _RESAMPLES))
    means = np.take_along_axis(ratios, chosen, axis=0).mean(axis=0)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(
        *(float(np.exp(figure)) for figure in (value, min(low, value), max(high, value)))
    )


def _medians(samples: Samples, random: np.random.Generator) -> Samples:
    """The median of each resample."""
    size = max(1, len(samples) // _BLOCKS)
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    chosen = random.integers(len(blocks), size=(_RESAMPLES, len(blocks)))
    medians: Samples = np.median(blocks[chosen].reshape(_RESAMPLES, -1), axis=1)
    return medians
