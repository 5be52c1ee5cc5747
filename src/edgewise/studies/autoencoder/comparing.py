"""What the study compares within itself: criteria with each other, precisions with float."""

from collections.abc import Iterator, Sequence

from edgewise.studies.autoencoder import paper
from edgewise.studies.autoencoder.rows import (
    CRITERIA,
    PROTOCOLS,
    REGIMES,
    Rows,
    gains,
    points,
    sparsities,
)
from edgewise.studies.result import Mean, Table

_GOOD = 0.9  # accuracy above which a precision is held against float


def criteria(rows: Rows) -> Iterator[Table]:
    """The Shapley value against magnitude, as it comes out."""
    ways = [(regime, protocol) for regime in REGIMES for protocol in PROTOCOLS]
    lines, signs = [], {1: 0, 0: 0, -1: 0}
    for sparsity in sorted(
        {s for regime in REGIMES for s in sparsities(rows, f"shapley-{regime}")}
    ):
        cells = []
        for regime, protocol in ways:
            found = _apart(rows, regime, sparsity, protocol)
            cells.append(points(found))
            signs[_sign(found)] += bool(found)
        lines.append((f"{100 * sparsity:.0f} %", _papers(sparsity), *cells))
    if not any(any(line[2:]) for line in lines):
        return
    headings = ("links gone", "paper", *(f"{r}, {p} SVM" for r, p in ways))
    note = (
        f"Points, INT8, paired by seed. The Shapley value is ahead in {signs[1]} of these, "
        f"magnitude in {signs[-1]}; the intervals of {signs[0]} hold zero. Paper: fine-tuned, "
        "and magnitude at its own nearest sparsity."
    )
    yield Table("Shapley value less magnitude", headings, tuple(lines), (note,))


def precisions(rows: Rows) -> Iterator[Table]:
    """FP16 and INT8 against the same network in FP32."""
    lines = []
    for precision in ("FP16", "INT8"):
        found = list(_precision(rows, precision))
        if found:
            most, where = max(found, key=lambda one: abs(one[0]))
            lines.append((precision, str(len(found)), f"{100 * most:+.3f}", where))
    if lines:
        title = "What FP16 and INT8 change"
        headings = ("", "means", "largest difference from FP32, points", "where")
        note = "Of means over seeds, in every regime and protocol, where FP32 is above 90 %."
        yield Table(title, headings, tuple(lines), (note,))


def _precision(rows: Rows, precision: str) -> Iterator[tuple[float, str]]:
    for (name, sparsity, of), cells in rows.items():
        criterion, _, regime = name.partition("-")
        if of != precision or (name != "dense" and regime not in REGIMES):
            continue
        words = "not pruned"
        if name != "dense":
            words = f"{CRITERIA[criterion]}, {REGIMES[regime]}, {100 * sparsity:.0f} %"
        for protocol in PROTOCOLS:
            floats = rows.get((name, sparsity, "FP32"), {})
            height = Mean.of([row[protocol] for row in floats.values()])
            gap = Mean.of(gains(cells, floats, protocol))
            if height is not None and gap is not None and height.value > _GOOD:
                yield gap.value, f"{words}, {protocol} SVM"


def _apart(rows: Rows, regime: str, sparsity: float, protocol: str) -> list[float]:
    ours, theirs = (
        rows.get((f"{criterion}-{regime}", sparsity, "INT8"), {})
        for criterion in ("shapley", "magnitude")
    )
    return gains(ours, theirs, protocol)


def _sign(differences: Sequence[float]) -> int:
    """1 or -1 where the interval is on that side of zero, else 0."""
    mean = Mean.of(differences)
    if mean is None or mean.low is None or mean.high is None:
        return 0
    return int(mean.low > 0) - int(mean.high < 0)


def _papers(sparsity: float) -> str:
    ours, theirs = (paper.beside(c, sparsity, "INT8") for c in ("shapley", "magnitude"))
    return "" if ours is None or theirs is None else f"{ours - theirs:+.2f}"
