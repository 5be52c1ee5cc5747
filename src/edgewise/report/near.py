"""How close the outputs of variants are to the float network's: columns and tables."""

from collections.abc import Callable, Mapping, Sequence

from edgewise.report import figures
from edgewise.report.cell import Cell, number_cell
from edgewise.report.contents import Recorded, Source
from edgewise.report.grid import Grid
from edgewise.report.rows import Row
from edgewise.report.schema import Closenesses, OutputNoise

NOISE = "signal to noise"
SAME = "same detections as float"
NOTES: Mapping[str, str] = {
    NOISE: "of the artifact's outputs to the float network's, test images; of the noisiest output",
}
EXACT = "exact"

_WAYS: Mapping[str, Callable[[OutputNoise], float | None]] = {
    "artifact to float": lambda one: one.artifact_db,
    "simulated to float": lambda one: one.simulation_db,
    "artifact to simulated": lambda one: one.apart_db,
}


def _noise(row: Row) -> Cell:
    if row.closeness is None:
        return Cell()
    known = [one.artifact_db for one in row.closeness.outputs if one.artifact_db is not None]
    if not known:
        return Cell(EXACT, "", None, "dB", row.sources["closeness"])
    return number_cell(row, min(known), lambda value: f"{value:.1f} dB", "dB", "closeness")


def _agreement(row: Row) -> Cell:
    found = None if row.closeness is None else row.closeness.agreement_with_float
    share = None if found is None else found.share
    return number_cell(row, share, lambda value: figures.share(value, 2), "share", "closeness")


def columns(table: Sequence[Row]) -> Mapping[str, Callable[[Row], Cell]]:
    """Signal to noise, and agreement of detections where there are any."""
    found = [row.closeness.agreement_with_float for row in table if row.closeness is not None]
    return {NOISE: _noise, **({SAME: _agreement} if any(found) else {})}


def outputs(recorded: Recorded[Closenesses]) -> Grid:
    """Every output of every variant, three ways."""
    names = recorded.result.outputs
    lines = [
        (
            Cell(f"{one.name}, {names[place]}" if place < len(names) else one.name),
            *(_decibels(read(each), recorded.source) for read in _WAYS.values()),
        )
        for one in recorded.result.variants
        for place, each in enumerate(one.outputs)
    ]
    return Grid(("variant and output", *_WAYS), tuple(lines))


def _decibels(value: float | None, source: Source) -> Cell:
    if value is None:
        return Cell(EXACT, source=source)
    return Cell(f"{value:.1f} dB", "", value, "dB", source)
