"""Statistics of timing samples: order statistics, and intervals that respect how samples came.

Within a process neighbouring samples are alike, so blocks of neighbours are resampled (block
bootstrap, Carlstein 1986). Processes differ by luck (where memory lies, what else ran), so rounds
have a t-interval of their own on the logarithm of their figures, with as many degrees of freedom
as there are rounds less one. A 95 % interval here is whatever the two of them span. Quantiles are
samples that occurred (inverse of the distribution function), and nothing is clipped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

_RESAMPLES = 1000
_BLOCKS = 200  # a round has no more; longer blocks respect autocorrelation just as well
_LEVELS = 4096  # distinct values kept for resampling; more samples share a level of rank
_LAGGED = 1 << 16  # samples that autocorrelation is judged from
_ROUNDING = 1e-12
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469)  # 1, 2, ... degrees of freedom
# Neighbouring rounds share a run of the baseline: with equal noise in all runs, the variance of the
# mean of paired ratios is 4/3 of what their scatter says.
_SHARED = math.sqrt(4 / 3)


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def quantile(samples: Samples, share: float) -> float:
    """The smallest sample that at least `share` of all samples do not exceed."""
    return float(np.quantile(samples, share, method="inverted_cdf"))


def deviation(samples: Samples) -> float:
    """Median absolute deviation from the median."""
    return quantile(np.abs(samples - quantile(samples, 0.5)), 0.5)


def correlation_time(samples: Samples) -> float:
    """How many neighbouring samples tell as much as one independent sample; at least 1.

    1 + 2 x the sum of the ranks' autocorrelations up to the first that is not positive; ranks,
    because one outlier would hide any correlation of the values.
    """
    ranks = np.unique(samples[:_LAGGED], return_inverse=True)[1].astype(np.float64)
    ranks -= ranks.mean()
    size = 1 << (2 * len(ranks) - 1).bit_length()
    power = np.abs(np.fft.rfft(ranks, size)) ** 2
    correlation = np.fft.irfft(power, size)[: len(ranks)]
    if correlation[0] <= 0:
        return 1.0
    correlation = correlation / correlation[0]
    ends = np.flatnonzero(correlation <= 0)
    return float(2 * correlation[: ends[0] if len(ends) else None].sum() - 1)


def block_length(samples: Samples) -> int:
    """Samples in a block: n^(1/3), longer where neighbours are more alike than chance.

    The optimum for a first-order autoregression with the same correlation time (Carlstein 1986).
    """
    count = len(samples)
    time = correlation_time(samples)
    alike = (time - 1) / (time + 1)
    factor = math.pow(2 * alike / (1 - alike**2), 2 / 3)
    length = round(max(1.0, factor) * math.cbrt(count))
    return max(1, math.ceil(count / _BLOCKS), min(length, count // 4))


def quantiles(
    rounds: Sequence[Samples], shares: Sequence[float], seed: int = 0
) -> tuple[Interval, ...]:
    """Quantiles of all rounds' samples together, with intervals."""
    pooled = np.concatenate(rounds)
    drawn = _resampled_quantiles(rounds, shares, np.random.default_rng(seed))
    found = []
    for column, share in enumerate(shares):
        each = [quantile(samples, share) for samples in rounds]
        found.append(_interval(quantile(pooled, share), drawn[:, column], _spread(each)))
    return tuple(found)


def mean(rounds: Sequence[Samples], seed: int = 0) -> Interval:
    """Mean of all rounds' samples together, with its interval."""
    blocks = [block for samples in rounds for block in _blocks(samples)]
    sums = np.array([block.sum() for block in blocks])
    sizes = np.array([len(block) for block in blocks])
    weights = _weights(rounds, np.random.default_rng(seed))
    each = [float(samples.mean()) for samples in rounds]
    value = float(np.concatenate(rounds).mean())
    return _interval(value, (weights @ sums) / (weights @ sizes), _spread(each))


def speed_up(before: Sequence[Samples], rounds: Sequence[Samples], seed: int = 0) -> Interval:
    """How many times faster `rounds` are than `before`, by medians and paired by round.

    before: one round more than `rounds`, so that each of `rounds` lies between two of them; it is
    compared with the geometric mean of those two, which cancels a steady drift of the machine. The
    figure is the geometric mean over the rounds.
    """
    assert len(before) == len(rounds) + 1
    random = np.random.default_rng(seed)
    each = _paired([np.array([quantile(one, 0.5)]) for one in before],
                   [np.array([quantile(one, 0.5)]) for one in rounds])[:, 0]  # fmt: skip
    drawn = _paired([_medians(one, random) for one in before],
                    [_medians(one, random) for one in rounds])  # fmt: skip
    return _interval(float(_geometric(each)), _geometric(drawn), _spread(each) ** _SHARED)


def _paired(before: list[Samples], rounds: list[Samples]) -> Samples:
    """Ratio of each round to the two around it: (rounds, draws)."""
    theirs, ours = np.stack(before), np.stack(rounds)
    ratios: Samples = np.sqrt(theirs[:-1] * theirs[1:]) / ours
    return ratios


def _geometric(ratios: Samples) -> Any:
    """Geometric mean over the rounds, of one or of many draws."""
    return np.exp(np.log(ratios).mean(axis=0))


def _medians(samples: Samples, random: np.random.Generator) -> Samples:
    return _resampled_quantiles([samples], (0.5,), random)[:, 0]


def _spread(each: Sequence[float] | Samples) -> float:
    """The factor up and down that a t-interval of the rounds' figures allows; 1 for one round."""
    if len(each) < 2:
        return 1.0
    error = float(np.log(np.asarray(each) / each[0]).std(ddof=1)) / math.sqrt(len(each))
    return math.exp(student(len(each) - 1) * error)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Cornish-Fisher beyond the table, to 0.001)."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _interval(value: float, drawn: Samples, spread: float) -> Interval:
    """What resampled samples and the spread of rounds span together."""
    low = float(np.quantile(drawn, 0.025, method="lower"))
    high = float(np.quantile(drawn, 0.975, method="higher"))
    return Interval(value, min(low, value / spread), max(high, value * spread))


def _blocks(samples: Samples) -> list[Samples]:
    """Neighbouring samples in blocks as equal as can be; all samples are in one."""
    return np.array_split(samples, max(1, len(samples) // block_length(samples)))


def _weights(rounds: Sequence[Samples], random: np.random.Generator) -> Samples:
    """How often each resample holds each block: (resamples, blocks of all rounds)."""
    sizes = [len(_blocks(samples)) for samples in rounds]
    drawn = [random.multinomial(size, [1 / size] * size, _RESAMPLES) for size in sizes]
    return np.concatenate(drawn, axis=1).astype(np.float64)


def _resampled_quantiles(
    rounds: Sequence[Samples], shares: Sequence[float], random: np.random.Generator
) -> Samples:
    """Quantiles of every resample: (resamples, shares).

    A resample is a count of blocks; blocks x levels counts turn it into a distribution function.
    """
    pooled = np.sort(np.concatenate(rounds))
    levels = pooled[np.linspace(0, len(pooled) - 1, min(len(pooled), _LEVELS)).astype(np.int64)]
    blocks = [block for samples in rounds for block in _blocks(samples)]
    table = np.array(
        [np.bincount(np.searchsorted(levels, block), minlength=len(levels)) for block in blocks]
    )
    counts = np.cumsum(_weights(rounds, random) @ table, axis=1)
    wanted = np.outer(shares, counts[:, -1]) * (1 - _ROUNDING)
    places = [(counts < row[:, None]).sum(axis=1) for row in wanted]
    chosen: Samples = levels[np.stack(places, axis=1)]
    return chosen
