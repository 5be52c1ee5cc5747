"""Readings of "the Shapley value of a link" that the paper leaves open, held against its curve."""

import math
from collections.abc import Iterator, Set

from edgewise.studies.autoencoder import paper
from edgewise.studies.autoencoder.rows import Rows, percent, sparsities
from edgewise.studies.result import Row, Table

PREFIX = "form-"
_OWN = "shapley-tuned"  # the reading that the study follows everywhere else
_JUDGED = "refitted"


def compared(rows: Rows) -> Iterator[Table]:
    """What every reading comes to, nearest to the paper first."""
    names = {name: name.removeprefix(PREFIX) for name, _, _ in rows if name.startswith(PREFIX)}
    if not names:
        return
    seeds = {seed for (name, _, _), cells in rows.items() if name in names for seed in cells}
    names[_OWN] = _OWN.removesuffix("-tuned")
    levels = sorted({level for name in names for level in sparsities(rows, name)})
    lines: list[tuple[float, Row]] = []
    for name, words in names.items():
        apart = list(_apart(rows, name, seeds))
        if apart:
            root = math.sqrt(math.fsum(gap**2 for gap in apart) / len(apart))
            heights = (percent(_of(rows, name, level, seeds), _JUDGED) for level in levels)
            lines.append((root, (words, f"{root:.2f}", *heights)))
    if not lines:
        return
    shown = tuple(line for _, line in sorted(lines))
    note = (
        f"Closest to the paper's: {shown[0][0]}. FP32, fine-tuned, refitted SVM, seeds "
        f"{', '.join(sorted(seed.removeprefix('seed-') for seed in seeds))}; losses are from each "
        "one's own baseline, at the paper's sparsities."
    )
    gone = (f"{100 * level:.0f} % gone" for level in levels)
    headings = ("formulation", "root mean square distance of losses, points", *gone)
    yield Table("Formulations of the Shapley value of a link", headings, shown, (note,))


def _of(rows: Rows, name: str, sparsity: float, seeds: Set[str]) -> dict[str, dict[str, float]]:
    cells = rows.get((name, sparsity, "FP32"), {})
    return {seed: dict(row) for seed, row in cells.items() if seed in seeds}


def _apart(rows: Rows, name: str, seeds: Set[str]) -> Iterator[float]:
    dense = rows.get(("dense", 0.0, "FP32"), {})
    for sparsity, theirs in paper.PRUNED["shapley"].items():
        lost = paper.BASELINE["FP32"] - theirs["FP32"]
        for seed, row in _of(rows, name, sparsity, seeds).items():
            if seed in dense:
                yield 100 * (dense[seed][_JUDGED] - row[_JUDGED]) - lost
