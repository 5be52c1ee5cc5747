"""A figure as tables show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgewise.report.contents import Source
from edgewise.report.rows import Row
from edgewise.stats import Interval

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """One figure as shown. detail: its interval or context; figure: as stored, None for a name or a
    missing figure; unit: of the figure; source: the record that it comes from.
    """

    text: str = MISSING
    detail: str = ""
    figure: Interval | float | None = None
    unit: str = ""
    source: Source | None = None


def interval_cell(
    row: Row,
    figure: Interval | None,
    write: Callable[[Interval], tuple[str, str]],
    unit: str,
    record: str,
) -> Cell:
    """An interval that a record of the row holds."""
    if figure is None:
        return Cell()
    text, detail = write(figure)
    return Cell(text, detail, figure, unit, row.sources[record])


def number_cell(
    row: Row, value: float | None, write: Callable[[Any], str], unit: str, record: str
) -> Cell:
    """A number that a record of the row holds."""
    if value is None:
        return Cell()
    return Cell(write(value), "", value, unit, row.sources[record])
