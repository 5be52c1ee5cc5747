"""A streaming histogram whose result does not depend on how the values were batched."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.errors import DataError

BINS = 2048
_SLICE = 1 << 16  # values at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins [k * 2^exponent, (k + 1) * 2^exponent) for k from `first`.

    Widths are powers of two and edges multiples of the width, so that doubling the width merges
    pairs of bins exactly: counts are the same for any order and any batching of the values.
    low, high: smallest and largest value seen, exact; counts: int64 (bins,).
    """

    low: float
    high: float
    exponent: int
    first: int
    counts: Tensor

    @property
    def centres(self) -> Tensor:
        """Middle of every bin, float64."""
        index = torch.arange(len(self.counts), dtype=torch.float64) + self.first
        return (index + 0.5) * 2.0**self.exponent

    @staticmethod
    def of(values: Tensor) -> "Histogram":
        """The histogram of a tensor's values; raises DataError when one is not finite."""
        flat = values.detach().flatten().float()
        low, high = (float(bound) for bound in torch.aminmax(flat))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError("a value that is not finite was met")
        exponent = _exponent(low, high)
        # Where scaling shrinks values, float32 could round a tiny negative one into the wrong bin.
        kind = torch.float32 if exponent <= 0 else torch.float64
        first, last = (math.floor(bound * 2.0**-exponent) for bound in (low, high))
        counts = torch.zeros(last - first + 1, dtype=torch.int64)
        for part in torch.split(flat, _SLICE):
            index = torch.floor(part.to(kind) * 2.0**-exponent).to(torch.int32)
            counts += torch.bincount(index.sub_(first), minlength=len(counts))
        return Histogram(low, high, exponent, first, counts)

    def merge(self, other: "Histogram") -> "Histogram":
        """The histogram of both sets of values together."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        exponent = max(_exponent(low, high), self.exponent, other.exponent)
        ours, theirs = self._coarser(exponent), other._coarser(exponent)
        first = min(ours.first, theirs.first)
        last = max(ours.first + len(ours.counts), theirs.first + len(theirs.counts))
        counts = torch.zeros(last - first, dtype=torch.int64)
        for part in (ours, theirs):
            start = part.first - first
            counts[start : start + len(part.counts)] += part.counts
        return Histogram(low, high, exponent, first, counts)

    def _coarser(self, exponent: int) -> "Histogram":
        shift = exponent - self.exponent
        if shift == 0:
            return self
        index = torch.arange(len(self.counts)) + self.first
        merged = index >> shift if shift < 62 else torch.where(index < 0, -1, 0)
        first = int(merged[0])
        counts = torch.zeros(int(merged[-1]) - first + 1, dtype=torch.int64)
        counts.index_add_(0, merged - first, self.counts)
        return Histogram(self.low, self.high, exponent, first, counts)


def _exponent(low: float, high: float) -> int:
    """The smallest exponent for which [low, high] needs at most BINS bins."""
    # No finer than float32 can index: 2^12 * BINS = 2^23 bins from zero.
    span = max(high - low, max(abs(low), abs(high)) * 2.0**-12, 2.0**-100)
    exponent = math.frexp(span / BINS)[1] - 1
    while math.floor(high * 2.0**-exponent) - math.floor(low * 2.0**-exponent) + 1 > BINS:
        exponent += 1
    return exponent
