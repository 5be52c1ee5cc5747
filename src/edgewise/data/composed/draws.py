"""Random choices that are the same integers on every machine and with every version of numpy."""

import statistics
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")

NOISE_DEVIATION = 4.0
_QUANTILES = ((level + 0.5) / 256 for level in range(256))
_NORMAL = statistics.NormalDist(0, NOISE_DEVIATION)
NOISE: NDArray[np.int16] = np.array([round(_NORMAL.inv_cdf(q)) for q in _QUANTILES], np.int16)


class Draws:
    """Choices from the raw bits of PCG64, whose stream numpy keeps as it is (NEP 19).

    The methods of numpy's Generator may change with its version, so none of them is used.
    """

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + (int(self._bits.random_raw()) * (high - low + 1) >> 64)

    def one_of(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.between(0, len(items) - 1)]

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Rounded normal noise of deviation 4, by the inverse of its distribution in 256 steps."""
        count = int(np.prod(shape))
        raw = np.asarray(self._bits.random_raw(-(-count // 8)), "<u8")
        return NOISE[raw.view(np.uint8)[:count]].reshape(shape)
