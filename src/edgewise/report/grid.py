"""A table as it is laid out."""

from collections.abc import Set
from dataclasses import dataclass

from edgewise.report.cell import Cell
from edgewise.report.contents import Source


@dataclass(frozen=True)
class Grid:
    """A table to lay out: the first column names the line, the others hold figures."""

    headings: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]

    @property
    def column_sources(self) -> tuple[Source | None, ...]:
        """The record of each column; None where its cells come from several, or from none."""
        columns = zip(*self.lines, strict=True)
        return tuple(_only({cell.source for cell in column} - {None}) for column in columns)


def _only(sources: Set[Source | None]) -> Source | None:
    return next(iter(sources)) if len(sources) == 1 else None
