"""How well a detector's variants find objects: columns, tables and words."""

from collections.abc import Callable, Mapping
from functools import partial

from edgewise.report import figures
from edgewise.report.cell import Cell, interval_cell, number_cell
from edgewise.report.contents import Recorded
from edgewise.report.grid import Grid
from edgewise.report.rows import Row
from edgewise.report.schema import Precision, Precisions, Scores
from edgewise.stats import Interval

METRICS: Mapping[str, Callable[[Scores], Interval]] = {
    "mAP@0.5": lambda scores: scores.ap50,
    "AP75": lambda scores: scores.ap75,
    "COCO AP": lambda scores: scores.coco,
}
TO_FLOAT = "{} to float"
SAME = "same detections as float"

_WAYS: Mapping[str, Callable[[Precision], Scores]] = {
    "float network, PyTorch": lambda one: one.network,
    "simulated": lambda one: one.simulation,
    "artifact": lambda one: one.artifact,
}


def _score(metric: str, row: Row) -> Cell:
    figure = None if row.precision is None else METRICS[metric](row.precision.artifact)
    return interval_cell(row, figure, figures.percent, "share", "precision")


def _difference(metric: str, row: Row) -> Cell:
    if row.precision is None or row.is_baseline:
        return Cell()
    figure = METRICS[metric](row.precision.difference)
    return interval_cell(row, figure, figures.points, "share", "precision")


def _agreement(row: Row) -> Cell:
    known = None if row.precision is None else row.precision.agreement_with_float.share
    return number_cell(row, known, lambda value: figures.share(value, 2), "share", "precision")


COLUMNS: Mapping[str, Callable[[Row], Cell]] = {
    **{
        heading: column
        for metric in METRICS
        for heading, column in (
            (metric, partial(_score, metric)),
            (TO_FLOAT.format(metric), partial(_difference, metric)),
        )
    },
    SAME: _agreement,
}

_PAIRED = "the artifact's less the baseline's, same images; paired 95 % interval"
NOTES: Mapping[str, str] = {
    "mAP@0.5": "average precision of the artifact, mean over classes, where a box is right that "
    "overlaps an object by half or more; 95 % bootstrap interval over images",
    "AP75": "the same where three quarters are asked for: how well boxes lie",
    "COCO AP": "the same, mean over ten overlaps from 0.5 to 0.95",
    **{TO_FLOAT.format(metric): f"{metric}: {_PAIRED}" for metric in METRICS},
    SAME: "detections of the float network above 0.5 that the artifact has too: same class, "
    "score above 0.25, overlap above half",
}


def three_ways(recorded: Recorded[Precisions]) -> Grid:
    """The same images three ways: PyTorch float, PyTorch simulation, artifact."""
    source, lines = recorded.source, []
    for one in recorded.result.variants:
        scores = [
            Cell(*figures.percent(read(way(one))), read(way(one)), "share", source)
            for way in _WAYS.values()
            for read in list(METRICS.values())[:2]
        ]
        same = (one.agreement_with_simulation.share, one.agreement_with_float.share)
        lines.append((Cell(one.name), *scores, *(_share(share, recorded) for share in same)))
    headings = [f"{metric}, {way}" for way in _WAYS for metric in list(METRICS)[:2]]
    return Grid(
        ("variant", *headings, "same detections as simulated", SAME), tuple(lines)
    )  # fmt: skip


def classes(recorded: Recorded[Precisions]) -> Grid:
    """Average precision and recall at 0.5 of every class, of every variant."""
    variants = recorded.result.variants
    lines = [
        (
            Cell(name),
            *(_share(one.classes[place].ap50 if place < len(one.classes) else None, recorded)
              for one in variants),
            *(_share(one.classes[place].recall if place < len(one.classes) else None, recorded)
              for one in variants),
        )
        for place, name in enumerate(recorded.result.classes)
    ]  # fmt: skip
    headings = [f"{what}, {one.name}" for what in ("AP", "recall") for one in variants]
    return Grid(("class", *headings), tuple(lines))


def _share(value: float | None, recorded: Recorded[Precisions]) -> Cell:
    if value is None:
        return Cell()
    return Cell(figures.share(value, 1), "", value, "share", recorded.source)
