"""The smaller tables of the page, of the same cells as the main one."""

from collections.abc import Callable, Mapping, Sequence

from edgewise import units
from edgewise.report import figures
from edgewise.report.cell import Cell
from edgewise.report.contents import Recorded, Source
from edgewise.report.grid import Grid
from edgewise.report.rows import Row
from edgewise.report.schema import (
    Accuracies,
    Accuracy,
    Check,
    Export,
    LayerSensitivity,
    Sensitivity,
)
from edgewise.report.table import visible
from edgewise.series.measurement import Statistics
from edgewise.series.series import Series
from edgewise.stats import Interval


def main(table: Sequence[Row]) -> Grid:
    """The main table."""
    known = visible(table)
    return Grid(
        tuple(known), tuple(tuple(column(row) for column in known.values()) for row in table)
    )


ACCURACIES: Mapping[str, Callable[[Accuracy], Interval | float | None]] = {
    "float network, PyTorch": lambda one: one.network,
    "this variant, simulated": lambda one: one.simulation,
    "artifact in its runtime": lambda one: one.artifact,
    "same class as simulated": lambda one: one.agreement_with_simulation,
    "same class as float": lambda one: one.agreement_with_float,
}

TIMINGS: Mapping[str, Callable[[Statistics], Interval | float | None]] = {
    "p50": lambda one: one.p50_s,
    "p90": lambda one: one.p90_s,
    "p95": lambda one: one.p95_s,
    "p99": lambda one: one.p99_s,
    "mean": lambda one: one.mean_s,
    "fastest": lambda one: one.min_s,
    "spread (MAD)": lambda one: one.mad_s,
}


def accuracies(recorded: Recorded[Accuracies]) -> Grid:
    """The same images three ways: PyTorch float, PyTorch simulation, artifact."""
    lines = []
    for one in recorded.result.variants:
        shares = (_share(read(one), recorded.source) for read in ACCURACIES.values())
        lines.append((Cell(one.name), *shares))
    return Grid(("variant", *ACCURACIES), tuple(lines))


def timings(recorded: Recorded[Series]) -> Grid:
    """Everything that was timed, variant by variant."""
    lines = []
    for one in recorded.result.measurements:
        source, statistics = recorded.source, one.statistics
        lines.append(
            (
                Cell(one.name),
                _count(statistics.count, source),
                *(_time(read(statistics), source) for read in TIMINGS.values()),
                _time(one.load_s, source),
                _time(one.first_s, source),
            )
        )
    return Grid(("variant", "inferences", *TIMINGS, "load", "first inference"), tuple(lines))


def layers(export: Recorded[Export], sensitivity: Recorded[Sensitivity] | None) -> Grid:
    """Layer by layer: the kernel, its MACs, whether on integers, and signal to noise."""
    noise = aligned(export.result, None if sensitivity is None else sensitivity.result)
    lines = []
    for one, its_noise in zip(export.result.executions, noise, strict=True):
        cells = [
            Cell(one.layer),
            Cell(one.operator, source=export.source),
            Cell(units.count(one.macs), figure=one.macs, unit="MACs", source=export.source),
            Cell(_executed(one.integer, one.meant), source=export.source),
        ]
        if sensitivity is not None:
            cells += _noise(its_noise, sensitivity.source)
        lines.append(tuple(cells))
    headings: tuple[str, ...] = ("layer", "kernel", "MACs", "executed in")
    if sensitivity is not None:
        headings += ("region", "SQNR alone", "SQNR accumulated")
    return Grid(headings, tuple(lines))


def aligned(export: Export, sensitivity: Sensitivity | None) -> list[LayerSensitivity | None]:
    """The sensitivity of each executed layer, None where it has none.

    Both are in the order they run, so a layer that runs twice meets its own two figures.
    """
    left = [] if sensitivity is None else list(sensitivity.layers)
    found = []
    for one in export.executions:
        mine = bool(left) and left[0].layer == one.layer
        found.append(left.pop(0) if mine else None)
    return found


def tensors(export: Recorded[Export]) -> Grid:
    """Every quantized tensor against the exact integer twin."""
    lines = tuple(
        (
            Cell(one.layer or "input", one.tensor),
            _count(one.elements, export.source),
            _count(one.off, export.source),
            _count(one.worst, export.source),
        )
        for one in export.result.checks
    )
    return Grid(("tensor after", "values", "values off", "codes off at most"), lines)


def off(checks: Sequence[Check]) -> tuple[int, int]:
    """How many values differ from the twin, of how many."""
    return sum(one.off for one in checks), sum(one.elements for one in checks)


def uses(grids: Mapping[str, Grid]) -> dict[int, list[str]]:
    """What comes from which record: its number -> tables with the columns that it fills."""
    found: dict[int, dict[str, dict[str, None]]] = {}
    for name, grid in grids.items():
        for heading, *column in zip(grid.headings, *grid.lines, strict=True):
            for source in (cell.source for cell in column if cell.source is not None):
                found.setdefault(source.number, {}).setdefault(name, {})[heading] = None
    return {
        number: [f"{name} ({', '.join(headings)})" for name, headings in tables.items()]
        for number, tables in found.items()
    }


def _share(value: Interval | float | None, source: Source) -> Cell:
    if value is None:
        return Cell()
    if isinstance(value, Interval):
        return Cell(*figures.percent(value), value, "share", source)
    return Cell(figures.share(value, 2), "", value, "share", source)


def _time(value: Interval | float | None, source: Source) -> Cell:
    if value is None:
        return Cell()
    if isinstance(value, Interval):
        return Cell(*figures.seconds(value), value, "s", source)
    return Cell(units.seconds(value), "", value, "s", source)


def _count(value: int, source: Source) -> Cell:
    return Cell(f"{value:,}", "", value, "count", source)


def _executed(integer: bool, meant: bool) -> str:
    if integer:
        return "integers"
    return "float, integers meant" if meant else "float"


def _noise(one: LayerSensitivity | None, source: Source) -> list[Cell]:
    if one is None:
        return [Cell(), Cell(), Cell()]
    region = Cell(one.region, source=source) if one.region else Cell()
    ratios = [
        Cell() if value is None else Cell(f"{value:.1f} dB", "", value, "dB", source)
        for value in (one.alone_sqnr_db, one.accumulated_sqnr_db)
    ]
    return [region, *ratios]
