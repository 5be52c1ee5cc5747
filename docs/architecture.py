"""Draws docs/images/architecture.svg from the import contract in pyproject.toml."""

import tomllib
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

SAYS = {
    "cli": "parse, call, print",
    "report": "tables, plots and the page, from stored results; runs nothing",
    "studies": "published studies: cells, and the paper's tables",
    "verify | pipeline | study": "a model to a bundle; checked again; a grid of cached cells",
    "parity | spotting | audit | bundle | sensitivity | measure | inference | presets": (
        "what proves a result"
    ),
    "dispatch": "jobs for the worker on a device",
    "series": "measurements, their raw samples and intervals",
    "recipe": "an ordered tuple of steps; JSON in and out",
    "steps | targets | devices": "change a network; write an artifact; reach a machine",
    "worker": "travels to the device alone",
    "training": "the one training loop",
    "quant | importance": "formats, ranges, placement, the integer twin; what weights are worth",
    "models | graph | tasks": "networks; capture and cost; loss and metric",
    "data": "readers, splits, fetch, the preprocessing contract",
    "store | stats | units | progress": "whole files; intervals; how things are shown",
    "errors | loading": "one tree; imports without the collector",
}  # fmt: skip
_INK, _BOX, _PAPER = "#1d2a3a", "#e7eef7", "#ffffff"


def layers() -> list[str]:
    """The rows of the contract, top to bottom."""
    with (ROOT / "pyproject.toml").open("rb") as handle:
        contracts = tomllib.load(handle)["tool"]["importlinter"]["contracts"]
    return [str(row) for row in contracts[0]["layers"]]


def draw() -> None:
    """Write the picture; a row that has no words here is an error."""
    rows = layers()
    matplotlib.rcParams["svg.hashsalt"] = "edgewise"
    matplotlib.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9.6, 0.52 * len(rows) + 0.5), facecolor=_PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.4, len(rows) + 0.3)
    axes.axis("off")
    for index, row in enumerate(reversed(rows)):
        _row(axes, index, row)
    arrow = {"arrowstyle": "-|>", "color": _INK, "lw": 1.4}
    axes.annotate("", (3, 0.1), (3, len(rows) - 0.1), arrowprops=arrow)
    axes.text(1.6, len(rows) / 2, "imports", rotation=90, va="center", color=_INK, fontsize=9)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def _row(axes: matplotlib.axes.Axes, index: int, row: str) -> None:
    names = [name.strip() for name in row.split("|")]
    left, gap, room = 6.0, 0.8, 47.0
    weights = [len(name) + 3 for name in names]
    unit = (room - gap * (len(names) - 1)) / sum(weights)
    for name, weight in zip(names, weights, strict=True):
        width = unit * weight
        box = FancyBboxPatch(
            (left, index + 0.12), width, 0.72, boxstyle="round,pad=0,rounding_size=0.25",
            mutation_aspect=0.35, facecolor=_BOX, edgecolor=_INK, lw=0.8,
        )  # fmt: skip
        axes.add_patch(box)
        axes.text(left + width / 2, index + 0.47, name, ha="center", va="center", color=_INK,
                  fontsize=9 if len(names) < 5 else 7)  # fmt: skip
        left += width + gap
    axes.text(54.5, index + 0.47, SAYS[row], va="center", color=_INK, fontsize=8.5)


if __name__ == "__main__":
    draw()
