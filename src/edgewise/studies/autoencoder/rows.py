"""The rows of a study's cells, by what they are of, and their means as text."""

from collections.abc import Mapping, Sequence

from edgewise import units
from edgewise.studies.result import Mean
from edgewise.study import Finding

# seed -> row
Cells = Mapping[str, Mapping[str, float]]
# cell name without its seed, sparsity, precision -> cells
Rows = Mapping[tuple[str, float, str], Cells]

REGIMES = {
    "tuned": "fine-tuned",
    "refit": "refitted by least squares, nothing trained",
    "once": "in one shot, nothing trained",
}
CRITERIA = {"shapley": "Shapley value", "magnitude": "magnitude", "best": "ours"}
PROTOCOLS = {
    "refitted": "SVM fitted on what the pruned network gives back",
    "fixed": "SVM fitted once, on what the dense network gives back",
}


def rows_of(findings: Sequence[Finding]) -> Rows:
    """All rows of all seeds."""
    found: dict[tuple[str, float, str], dict[str, Mapping[str, float]]] = {}
    for one in findings:
        seed, _, name = one.cell.name.partition("/")
        for row in one.result.get("rows", ()):
            key = (name, float(row["sparsity"]), str(row["precision"]))
            found.setdefault(key, {})[seed] = row
    return found


def sparsities(rows: Rows, name: str) -> list[float]:
    """At which the cells of a name have rows."""
    return sorted({sparsity for found, sparsity, _ in rows if found == name})


def gains(cells: Cells, over: Cells, protocol: str) -> list[float]:
    """Accuracy less that of other cells, by seeds that both have."""
    return [row[protocol] - over[seed][protocol] for seed, row in cells.items() if seed in over]


def percent(cells: Cells, protocol: str) -> str:
    """Mean accuracy with its interval."""
    mean = Mean.of([row[protocol] for row in cells.values()])
    return "not run" if mean is None else units.percent(mean.value) + _interval(mean)


def points(differences: Sequence[float]) -> str:
    """Mean of differences of accuracies with its interval, in points; empty where there is none."""
    mean = Mean.of(differences)
    return "" if mean is None else f"{100 * mean.value:+.2f}" + _interval(mean)


def _interval(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return ""
    return f" ± {50 * (mean.high - mean.low):.2f}"
