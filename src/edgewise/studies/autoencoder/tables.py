"""The paper's table beside ours, in every regime and under both protocols, and the curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgewise import units
from edgewise.studies import measured
from edgewise.studies.autoencoder import comparing, formulations, paper
from edgewise.studies.autoencoder.rows import (
    CRITERIA,
    PROTOCOLS,
    REGIMES,
    Rows,
    gains,
    percent,
    points,
    rows_of,
    sparsities,
)
from edgewise.studies.result import Curve, Mean, Plot, Table
from edgewise.study import Finding

# What `best` is, by regime; chosen beforehand on validation images of another seed.
_OURS = {
    "tuned": "magnitude, links of all layers competing, in three parts with fine-tuning after each",
    "refit": "the error of removing a link, links of all layers competing, in three parts",
    "once": "the error of removing a link, links of all layers competing",
}
_PRECISIONS = ("FP32", "FP16", "INT8")
_DENSE = (
    "Links that are gone are zeros which the runtime's kernels multiply like any other number: "
    "they make the packed file smaller and nothing faster. Weights are random here."
)


def tables(findings: Sequence[Finding]) -> tuple[Table, ...]:
    """Every regime and protocol, the whole training set, and the formulations."""
    rows = rows_of(findings)
    made = [_table(rows, regime, protocol) for regime in REGIMES for protocol in PROTOCOLS]
    series = [one for one in findings if one.cell.name.startswith("measured/")]
    timed = (_timed(one.result) for one in series if one.error is None)
    compared = (*comparing.criteria(rows), *comparing.precisions(rows))
    return (*made, *compared, *_whole(rows), *formulations.compared(rows), *timed)


def _timed(result: Mapping[str, Any]) -> Table:
    mode = f"({result['mode']} measurement)"
    title = f"Inference by LiteRT on {result['cpu']}, batch 1, one thread {mode}"
    headings = ("", *measured.HEADINGS)
    return Table(title, headings, tuple(measured.rows(result)), (_DENSE, *result["remarks"]))


def _table(rows: Rows, regime: str, protocol: str) -> Table:
    headings = ("", *(f"{name}, {whose}" for name in _PRECISIONS for whose in ("paper", "ours")),
                "INT8 less dense", "seeds", "file, INT8", "packed")  # fmt: skip
    lines = [_line(rows, "dense", 0.0, protocol, "not pruned", paper.BASELINE)]
    for criterion, words in CRITERIA.items():
        name = f"{criterion}-{regime}"
        for sparsity in sparsities(rows, name):
            theirs = {p: paper.beside(criterion, sparsity, p) for p in _PRECISIONS}
            title = f"{words}, {100 * sparsity:.0f} % of the links gone"
            lines.append(_line(rows, name, sparsity, protocol, title, theirs))
    title = f"Pruned {REGIMES[regime]}; {PROTOCOLS[protocol]}"
    return Table(title, headings, tuple(lines), (f"Ours: {_OURS[regime]}.",))


def _line(
    rows: Rows, name: str, sparsity: float, protocol: str, title: str,
    theirs: Mapping[str, float | None],
) -> tuple[str, ...]:  # fmt: skip
    cells = [title]
    for precision in _PRECISIONS:
        value = theirs.get(precision)
        cells.append("" if value is None else f"{value:.2f} %")
        cells.append(percent(rows.get((name, sparsity, precision), {}), protocol))
    last, dense = rows.get((name, sparsity, "INT8"), {}), rows.get(("dense", 0.0, "FP32"), {})
    size = max((row["size_bytes"] for row in last.values()), default=None)
    packed = max((row["packed_bytes"] for row in last.values()), default=None)
    return (
        *cells,
        "" if name == "dense" else points(gains(last, dense, protocol)),
        str(len(last)),
        "" if size is None else units.size(size),
        "" if packed is None else units.size(packed),
    )


def _whole(rows: Rows) -> Iterator[Table]:
    """SVMs fitted on the whole official training set."""
    found = sparsities(rows, "whole")
    if not found:
        return
    lines = []
    for sparsity in found:
        cells = rows.get(("whole", sparsity, "INT8"), {})
        title = "not pruned" if not sparsity else f"ours, fine-tuned, {100 * sparsity:.0f} %"
        lines.append((title, percent(cells, "refitted"), percent(cells, "fixed"),
                      str(len(cells))))  # fmt: skip
    title = "SVMs fitted on all 60,000 official training images; INT8"
    yield Table(title, ("", "refitted SVM", "fixed SVM", "seeds"), tuple(lines))


def plots(findings: Sequence[Finding]) -> tuple[Plot, ...]:
    """Accuracy against sparsity, INT8, with intervals over seeds."""
    rows = rows_of(findings)
    made = []
    for regime, words in REGIMES.items():
        for protocol, how in PROTOCOLS.items():
            curves = [_curve(rows, f"{c}-{regime}", protocol, w) for c, w in CRITERIA.items()]
            theirs = [_paper_curve(c, f"paper, {CRITERIA[c]}") for c in paper.PRUNED]
            kept = tuple(curve for curve in (*curves, *theirs) if curve.values)
            made.append(Plot(f"{words.capitalize()}; {how}", "links gone, %", "accuracy, %", kept))
    return tuple(made)


def _curve(rows: Rows, name: str, protocol: str, words: str) -> Curve:
    points = []
    for sparsity in sparsities(rows, name):
        cells = rows.get((name, sparsity, "INT8"), {})
        mean = Mean.of([100 * row[protocol] for row in cells.values()])
        if mean is not None:
            low = mean.value if mean.low is None else mean.low
            high = mean.value if mean.high is None else mean.high
            points.append((100 * sparsity, mean.value, low, high))
    at, values, lows, highs = zip(*points, strict=True) if points else ((), (), (), ())
    return Curve(words, values, at, lows, highs)


def _paper_curve(criterion: str, words: str) -> Curve:
    points = paper.PRUNED[criterion]
    values = tuple(figures["INT8"] for figures in points.values())
    return Curve(words, values, tuple(100 * sparsity for sparsity in points))
