"""From the values seen in calibration to the range that a quantizer covers."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgewise.graph.histogram import Histogram

Range = tuple[float, float]
RangeMethod = Callable[[Histogram, int], Range]

_CANDIDATES = 100
_PERCENTILE = 0.9999


def min_max(histogram: Histogram, bits: int) -> Range:
    """Everything seen: nothing is clipped."""
    return histogram.low, histogram.high


def percentile(histogram: Histogram, bits: int) -> Range:
    """The range that leaves out 0.01 % of the values, half at each end that is not zero."""
    total = histogram.counts.double().cumsum(0)
    share = total / total[-1]
    centres = histogram.centres
    outside = 1 - _PERCENTILE
    if histogram.low < 0 < histogram.high:
        outside /= 2
    low = histogram.low
    if low < 0:
        low = max(low, float(centres[torch.searchsorted(share, outside)]))
    high = histogram.high
    if high > 0:
        index = min(int(torch.searchsorted(share, 1 - outside)), len(centres) - 1)
        high = min(high, float(centres[index]))
    return min(low, high), max(low, high)  # centres of one bin may lie either way


def mse(histogram: Histogram, bits: int) -> Range:
    """The range of least squared quantization error, among shrunken versions of the whole."""
    shrink = torch.linspace(1.0, 0.2, _CANDIDATES, dtype=torch.float64)[:, None]
    low, high = shrink * min(histogram.low, 0.0), shrink * max(histogram.high, 0.0)
    step = ((high - low) / (2**bits - 1)).clamp_min(1e-300)
    zero = torch.round(-low / step)  # as the quantizer has it: zero is always a code
    values = histogram.centres[None]
    codes = torch.clamp(torch.round(values / step) + zero, 0, 2**bits - 1)
    error = (((codes - zero) * step - values).square() * histogram.counts.double()).sum(1)
    best = int(error.argmin())
    return float(low[best]), float(high[best])


def entropy(histogram: Histogram, bits: int) -> Range:
    """The range whose quantized distribution loses least information.

    Kullback-Leibler divergence of the clipped distribution from its 2^bits-level form (Migacz
    2017, "8-bit inference with TensorRT"), among shrunken versions of the whole.
    """
    counts, centres = histogram.counts.double(), histogram.centres
    shrinks = torch.linspace(1.0, 0.2, _CANDIDATES, dtype=torch.float64)
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    losses = [
        _divergence(counts, centres, (float(s * low), float(s * high)), bits) for s in shrinks
    ]
    best = float(shrinks[losses.index(min(losses))])
    return best * low, best * high


def _divergence(counts: Tensor, centres: Tensor, bounds: Range, bits: int) -> float:
    low, high = bounds
    inside = (centres >= low) & (centres <= high)
    if not bool(inside.any()) or high <= low:
        return float("inf")
    kept = counts[inside]
    clipped = kept.clone()
    clipped[0] += counts[centres < low].sum()
    clipped[-1] += counts[centres > high].sum()
    step = (high - low) / (2**bits - 1)
    level = torch.round((centres[inside] - low) / step).long()
    mass = torch.zeros(2**bits, dtype=torch.float64).index_add_(0, level, kept)
    occupied = torch.zeros(2**bits, dtype=torch.float64).index_add_(0, level, (kept > 0).double())
    spread = torch.where(kept > 0, mass[level] / occupied[level].clamp_min(1), 0.0)
    p, q = clipped / clipped.sum(), spread / spread.sum().clamp_min(1e-300)
    seen = p > 0
    # A clipped edge bin can hold mass where the quantized form has none: infinitely bad in theory,
    # a small floor in practice, as every implementation has.
    return float((p[seen] * torch.log(p[seen] / q[seen].clamp_min(1e-12))).sum())


METHODS: Mapping[str, RangeMethod] = {
    "min-max": min_max,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}
