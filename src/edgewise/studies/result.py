"""What a study shows: tables of measured figures beside the paper's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.stats import student

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table as text; notes: sentences under it."""

    title: str
    headings: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """One line of a plot: what was seen, in order.

    at: where, along the plot's axis; none means 1, 2, ...; low, high: ends of intervals.
    """

    name: str
    values: tuple[float, ...]
    at: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A plot of curves against `across`; the values are `up`."""

    title: str
    across: str
    up: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95 % interval (Student's t); one seed has no interval."""

    value: float
    low: float | None
    high: float | None
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> "Mean | None":
        """None where there are no values."""
        if not values:
            return None
        count = len(values)
        mean = math.fsum(values) / count
        if count == 1:
            return Mean(mean, None, None, 1)
        variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
        half = student(count - 1) * math.sqrt(variance / count)
        return Mean(mean, mean - half, mean + half, count)
