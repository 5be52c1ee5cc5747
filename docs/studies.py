"""Writes docs/studies/NAME.md and its pictures from the records of a study."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from docs import markdown
from edgewise import store
from edgewise.report.plot import SERIES, colour, marker, picture
from edgewise.studies.result import Plot, Table
from edgewise.studies.table import STUDIES
from edgewise.study import KIND, Cell, Finding

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "records"
PAGES = ROOT / "docs" / "studies"
_SMOOTH = 50  # iterations that a point of a loss curve is the mean of


def findings(name: str) -> list[Finding]:
    """Every cell that is stored, whatever data and settings it was made of."""
    folder = RECORDS / name / STUDIES[name].shown
    found = []
    for path in sorted(folder.rglob("*.json")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # of a cell that is being worked on
        record = store.read_record(path)
        if record["kind"] == KIND:
            cell = Cell(record["request"]["cell"], record["request"]["settings"], _never)
            found.append(Finding(cell, record))
    return found


def _never(bench: object) -> Mapping[str, Any]:
    raise AssertionError("a stored cell is not computed")


def page(name: str) -> str:
    """The page, every figure of it from a record."""
    study, found = STUDIES[name], findings(name)
    scale = study.scales[study.shown]
    hours = math.fsum(one.result["seconds"] for one in found) / 3600
    parts = [
        f"# {study.summary}",
        f"Written by `make figures` from `records/{name}/{study.shown}` ({scale}). **Ours: on "
        f"{images(name)}**; the paper's figures are its own, on {study.data}, and "
        f"stand beside ours for their differences, not for their heights. {study.figures}",
        f"{len(found)} of the cells, {hours:.1f} hours of computing. `edgewise study run {name} "
        f"--scale {study.shown}` computes what is missing.",
        *(_table(table) for table in study.tables(found)),
        "## Curves",
        study.curves,
        *(
            f"![{plot.title}: {plot.up} by {plot.across}](../images/{_file(name, place)})"
            for place, plot in enumerate(study.plots(found))
            if plot.curves
        ),
        *_pictures(name),
    ]
    return "\n\n".join(parts) + "\n"


def images(name: str) -> str:
    """What the cells of a study were computed on, and what that stands in for."""
    settings = [one.cell.settings for one in findings(name)]
    data = sorted({str(one["data"]) for one in settings if "data" in one})
    meant = STUDIES[name].data
    return ", ".join(data) + ("" if data == [meant] else f", a stand-in for {meant}")


def _pictures(name: str) -> Iterator[str]:
    """What a study has found, where that was drawn."""
    file = f"{name}-detections.jpg"
    if (ROOT / "docs" / "images" / file).is_file():
        yield "## Detections"
        yield f"![Detections of the float and of the int8 network, side by side](../images/{file})"


def write() -> None:
    """Write the pages of all studies that have records, and their pictures."""
    for name, study in STUDIES.items():
        if not findings(name):
            continue
        store.write_bytes(PAGES / f"{name}.md", page(name).encode())
        for place, plot in enumerate(study.plots(findings(name))):
            if plot.curves:
                content = picture("svg", (7.2, 3.2), partial(_paint, plot))
                store.write_bytes(ROOT / "docs" / "images" / _file(name, place), content)


def _file(name: str, place: int) -> str:
    return f"{name}-curves-{place}.svg"


def _table(table: Table) -> str:
    text = markdown.table(table.headings, table.rows, numbers=True)
    return "\n\n".join([f"## {table.title}", text, *table.notes])


def _paint(plot: Plot, figure: Figure) -> None:
    axes = figure.add_subplot()
    for place, curve in enumerate(plot.curves):
        values = list(_smoothed(curve.values)) if plot.across == "iteration" else curve.values
        step = _SMOOTH if plot.across == "iteration" else 1
        across = curve.at or [step * (index + 1) for index in range(len(values))]
        if curve.low and len(values) == 1:
            ends = [[values[0] - curve.low[0]], [curve.high[0] - values[0]]]
            axes.errorbar(across, values, ends, color=colour(place), lw=0.8, capsize=2)
        elif curve.low:
            axes.fill_between(across, curve.low, curve.high, color=colour(place), alpha=0.15, lw=0)
        style = "-" if place < len(SERIES) else "--"  # colours come again
        axes.plot(across, values, style, color=colour(place), lw=1.2, label=curve.name,
                  marker=marker(place) if len(values) < 30 else None, ms=3)  # fmt: skip
    axes.set_xlabel(plot.across)
    axes.set_ylabel(plot.up)
    # A line each, so that it stays beside the legend.
    axes.set_title(plot.title.replace("; ", ";\n"), fontsize=9, loc="left")
    if plot.across == "iteration":
        axes.set_yscale("log")
    figure.legend(loc="outside right upper", fontsize=7)


def _smoothed(values: tuple[float, ...]) -> Iterator[float]:
    """Means of a few iterations each: a loss jumps from batch to batch."""
    for start in range(0, len(values), _SMOOTH):
        part = values[start : start + _SMOOTH]
        yield math.fsum(part) / len(part)


if __name__ == "__main__":
    write()
