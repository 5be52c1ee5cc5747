"""The paper's table beside ours, in every regime and under both protocols, and the curves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgewise import units
from edgewise.studies import measured
from edgewise.studies.autoencoder import paper
from edgewise.studies.result import Curve, Mean, Plot, Table
from edgewise.study import Finding

_REGIMES = {
    "tuned": "fine-tuned",
    "refit": "refitted by least squares, nothing trained",
    "once": "in one shot, nothing trained",
}
# What `best` is, by regime; chosen beforehand on validation images of another seed.
_OURS = {
    "tuned": "magnitude, links of all layers competing, in three parts with fine-tuning after each",
    "refit": "the error of removing a link, links of all layers competing, in three parts",
    "once": "the error of removing a link, links of all layers competing",
}
_CRITERIA = {"shapley": "Shapley value", "magnitude": "magnitude", "best": "ours"}
_PROTOCOLS = {
    "refitted": "SVM fitted on what the pruned network gives back",
    "fixed": "SVM fitted once, on what the dense network gives back",
}
_PRECISIONS = ("FP32", "FP16", "INT8")
_FORM = "form-"
_DENSE = (
    "Links that are gone are zeros which the runtime's kernels multiply like any other number: "
    "they make the packed file smaller and nothing faster. Weights are random here."
)

# cell name without its seed, sparsity, precision -> seed -> row
Rows = Mapping[tuple[str, float, str], Mapping[str, Mapping[str, float]]]


def tables(findings: Sequence[Finding]) -> tuple[Table, ...]:
    """Every regime and protocol, the whole training set, and the formulations."""
    rows = _rows(findings)
    made = [_table(rows, regime, protocol) for regime in _REGIMES for protocol in _PROTOCOLS]
    series = [one for one in findings if one.cell.name.startswith("measured/")]
    timed = (_timed(one.result) for one in series if one.error is None)
    return (*made, *_whole(rows), *_forms(rows), *timed)


def _timed(result: Mapping[str, Any]) -> Table:
    mode = f"({result['mode']} measurement)"
    title = f"Inference by LiteRT on {result['cpu']}, batch 1, one thread {mode}"
    headings = ("", *measured.HEADINGS)
    return Table(title, headings, tuple(measured.rows(result)), (_DENSE, *result["remarks"]))


def _rows(findings: Sequence[Finding]) -> Rows:
    found: dict[tuple[str, float, str], dict[str, Mapping[str, float]]] = {}
    for one in findings:
        seed, _, name = one.cell.name.partition("/")
        for row in one.result.get("rows", ()):
            key = (name, float(row["sparsity"]), str(row["precision"]))
            found.setdefault(key, {})[seed] = row
    return found


def _table(rows: Rows, regime: str, protocol: str) -> Table:
    headings = ("", *(f"{name}, {whose}" for name in _PRECISIONS for whose in ("paper", "ours")),
                "INT8 less dense", "seeds", "file, INT8", "packed")  # fmt: skip
    lines = [_line(rows, "dense", 0.0, protocol, "not pruned", paper.BASELINE)]
    for criterion, words in _CRITERIA.items():
        name = f"{criterion}-{regime}"
        for sparsity in _sparsities(rows, name):
            theirs = {p: paper.beside(criterion, sparsity, p) for p in _PRECISIONS}
            title = f"{words}, {100 * sparsity:.0f} % of the links gone"
            lines.append(_line(rows, name, sparsity, protocol, title, theirs))
    title = f"Pruned {_REGIMES[regime]}; {_PROTOCOLS[protocol]}"
    return Table(title, headings, tuple(lines), (f"Ours: {_OURS[regime]}.",))


def _line(
    rows: Rows, name: str, sparsity: float, protocol: str, title: str,
    theirs: Mapping[str, float | None],
) -> tuple[str, ...]:  # fmt: skip
    cells = [title]
    for precision in _PRECISIONS:
        value = theirs.get(precision)
        cells.append("" if value is None else f"{value:.2f} %")
        cells.append(_percent(rows.get((name, sparsity, precision), {}), protocol))
    last = rows.get((name, sparsity, "INT8"), {})
    size = max((row["size_bytes"] for row in last.values()), default=None)
    packed = max((row["packed_bytes"] for row in last.values()), default=None)
    return (
        *cells,
        "" if name == "dense" else _less_dense(rows, last, protocol),
        str(len(last)),
        "" if size is None else units.size(size),
        "" if packed is None else units.size(packed),
    )


def _percent(cells: Mapping[str, Mapping[str, float]], protocol: str) -> str:
    mean = Mean.of([row[protocol] for row in cells.values()])
    if mean is None:
        return "not run"
    text = units.percent(mean.value)
    if mean.low is not None and mean.high is not None:
        text += f" ± {50 * (mean.high - mean.low):.2f}"
    return text


def _less_dense(rows: Rows, cells: Mapping[str, Mapping[str, float]], protocol: str) -> str:
    """Mean difference from the dense network of the same seed in float, in points."""
    dense = rows.get(("dense", 0.0, "FP32"), {})
    gains = [row[protocol] - dense[s][protocol] for s, row in cells.items() if s in dense]
    mean = Mean.of(gains)
    if mean is None:
        return ""
    text = f"{100 * mean.value:+.2f}"
    if mean.low is not None and mean.high is not None:
        text += f" ± {50 * (mean.high - mean.low):.2f}"
    return text


def _sparsities(rows: Rows, name: str) -> list[float]:
    return sorted({sparsity for found, sparsity, _ in rows if found == name})


def _whole(rows: Rows) -> Iterator[Table]:
    """SVMs fitted on the whole official training set."""
    sparsities = _sparsities(rows, "whole")
    if not sparsities:
        return
    lines = []
    for sparsity in sparsities:
        cells = rows.get(("whole", sparsity, "INT8"), {})
        title = "not pruned" if not sparsity else f"ours, fine-tuned, {100 * sparsity:.0f} %"
        lines.append((title, _percent(cells, "refitted"), _percent(cells, "fixed"),
                      str(len(cells))))  # fmt: skip
    title = "SVMs fitted on all 60,000 official training images; INT8"
    yield Table(title, ("", "refitted SVM", "fixed SVM", "seeds"), tuple(lines))


def _forms(rows: Rows) -> Iterator[Table]:
    """Which reading of "Shapley value" comes closest to the paper's curve."""
    names = sorted({name for name, _, _ in rows if name.startswith(_FORM)})
    lines = []
    for name in names:
        apart = list(_apart(rows, name))
        if apart:
            root = math.sqrt(math.fsum(gap**2 for gap in apart) / len(apart))
            lines.append((root, name.removeprefix(_FORM), str(len(apart))))
    if not lines:
        return
    shown = [(name, f"{root:.2f}", count) for root, name, count in sorted(lines)]
    note = (
        f"Closest to the paper's: {shown[0][0]}. Losses are from each one's own baseline, FP32, "
        "fine-tuned, refitted SVM, over seeds and the paper's sparsities."
    )
    headings = ("formulation", "root mean square distance of losses, points", "figures")
    yield Table("Formulations of the Shapley value of a link", headings, tuple(shown), (note,))


def _apart(rows: Rows, name: str) -> Iterator[float]:
    dense = rows.get(("dense", 0.0, "FP32"), {})
    for sparsity, theirs in paper.PRUNED["shapley"].items():
        lost = paper.BASELINE["FP32"] - theirs["FP32"]
        for seed, row in rows.get((name, sparsity, "FP32"), {}).items():
            if seed in dense:
                yield 100 * (dense[seed]["refitted"] - row["refitted"]) - lost


def plots(findings: Sequence[Finding]) -> tuple[Plot, ...]:
    """Accuracy against sparsity, INT8, with intervals over seeds."""
    rows = _rows(findings)
    made = []
    for regime, words in _REGIMES.items():
        for protocol, how in _PROTOCOLS.items():
            curves = [_curve(rows, f"{c}-{regime}", protocol, w) for c, w in _CRITERIA.items()]
            theirs = [_paper_curve(c, f"paper, {_CRITERIA[c]}") for c in paper.PRUNED]
            kept = tuple(curve for curve in (*curves, *theirs) if curve.values)
            made.append(Plot(f"{words.capitalize()}; {how}", "links gone, %", "accuracy, %", kept))
    return tuple(made)


def _curve(rows: Rows, name: str, protocol: str, words: str) -> Curve:
    points = []
    for sparsity in _sparsities(rows, name):
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
