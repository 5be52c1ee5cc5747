"""Writes the figures of README.md and docs/images from the records in records/."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs import architecture, benchmarks, detections, headlines, studies
from edgewise import store, units
from edgewise.report import contents, rows, table, words
from edgewise.report.rows import Row

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "records" / "demo"
TRAINING = ROOT / "src/edgewise/models/weights/vgg16-w0.25-fashion-mnist.json"
DETECTOR = ROOT / "records" / "yolov3" / "standard" / "seed-0"
PICTURE = ROOT / "docs" / "images" / "demo.svg"
_COLOURS = ("#7a8594", "#0072b2", "#d55e00")
_INK = "#1d2a3a"


def main() -> None:
    """Draw the pictures and fill the marked places of the README."""
    architecture.draw()
    draw_demo()
    benchmarks.write()
    detections.write()
    studies.write()
    readme = ROOT / "README.md"
    store.write_bytes(readme, filled(readme.read_text()).encode())


def filled(text: str) -> str:
    """The README with every marked place filled from the records."""
    for name, make in PLACES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"README.md has no place for '{name}'")
        text = f"{before}{begin}{make()}\n{end}{rest.partition(end)[2]}"
    return text


def demo_table() -> str:
    """The demo's table, and what to know of it."""
    stored = contents.load(DEMO)
    lines = rows.rows(stored)
    notices = (f"{one.title}: {one.text}" for one in words.notices(stored))
    return f"{table.to_markdown(lines, '')}\n{' '.join(notices)}".strip()


def training() -> str:
    """How the bundled weights were made."""
    record = store.read_record(TRAINING)
    result = record["result"]
    command = " ".join(record["command"]).replace("src/edgewise/models/weights/", "")
    return (
        f"    {command.removesuffix(' --json')}\n\n"
        f"with seed {record['request']['seed']}, on {record['machine']['cores']} cores of "
        f"{record['machine']['cpu']}: {units.percent(result['test_accuracy'])} of the "
        f"{result['test_images']:,} test images ({units.percent(result['validation_accuracy'])} of "
        f"the validation images), {units.count(result['parameters'])} parameters, "
        f"{units.size(result['size_bytes'])}."
    )


def detectors() -> str:
    """What 8 bits cost the bundled detector, with its outputs in float and without."""
    made, parts = (
        store.read_record(DETECTOR / name) for name in ("float.json", "partial-int8.json")
    )
    result, rows_of = made["result"], {row["name"]: row for row in parts["result"]["rows"]}
    whole = rows_of["backbone+neck+head"]
    outputs = rows_of["backbone+neck+head with outputs"]
    return (
        f"`yolov3` comes with weights of width {made['request']['settings']['width']:g} "
        f"({units.count(result['parameters'])} parameters), trained by the study on "
        f"{made['request']['settings']['data']}: mAP@0.5 of "
        f"{units.percent(result['artifact']['ap50']['value'])} on the test images. `int8` changes "
        f"that by {_points(whole, 'ap50')} and AP75 by {_points(whole, 'ap75')} points; with the "
        f"outputs quantized too it is {_points(outputs, 'ap50')} and {_points(outputs, 'ap75')}."
    )


def _points(row: Mapping[str, Any], metric: str) -> str:
    one = {name: 100 * value for name, value in row["less_float"][metric].items()}
    return f"{one['value']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})"


PLACES: dict[str, Callable[[], str]] = {
    "demo": demo_table,
    "training": training,
    "detectors": detectors,
    "studies": headlines.table,
}


def draw_demo() -> None:
    """Size, latency and accuracy of the demo's variants side by side."""
    stored = contents.load(DEMO)
    lines = rows.rows(stored)
    matplotlib.rcParams["svg.hashsalt"] = "edgewise"
    figure = Figure(figsize=(9.6, 2.3), layout="constrained", facecolor="white")
    size, latency, accuracy = figure.subplots(1, 3, sharey=True)
    size.invert_yaxis()  # shared: the baseline is on top of all three
    _bars(size, lines, "file size, MB", _sizes(lines))
    _bars(latency, lines, "median latency, ms", _latencies(lines))
    _bars(accuracy, lines, "test accuracy, %", _accuracies(lines))
    lowest = min(low for _, low, _ in _accuracies(lines))
    highest = max(high for _, _, high in _accuracies(lines))
    accuracy.set_xlim(lowest - 0.2, highest + 0.2)
    figure.suptitle(words.title(stored), fontsize=9, color=_INK)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def _shown(value: float) -> str:
    return f"{value:.2f}" if value >= 10 else f"{value:.3g}"


Bar = tuple[float, float, float]


def _sizes(lines: Sequence[Row]) -> list[Bar]:
    return [(row.variant.size_bytes / 1e6,) * 3 for row in lines]


def _latencies(lines: Sequence[Row]) -> list[Bar]:
    found = (row.measured.statistics.p50_s for row in lines if row.measured is not None)
    return [(p50.value * 1e3, p50.low * 1e3, p50.high * 1e3) for p50 in found]


def _accuracies(lines: Sequence[Row]) -> list[Bar]:
    found = (row.accuracy.artifact for row in lines if row.accuracy is not None)
    return [(one.value * 100, one.low * 100, one.high * 100) for one in found if one is not None]


def _bars(axes: Axes, lines: Sequence[Row], label: str, values: Sequence[Bar]) -> None:
    is_accuracy = "accuracy" in label
    for place, (value, low, high) in enumerate(values):
        bounds = [[value - low], [high - value]]
        colour = _COLOURS[place % len(_COLOURS)]
        if is_accuracy:  # its axis does not start at zero, and a bar would lie
            axes.errorbar(value, place, xerr=bounds, fmt="o", color=colour, capsize=3)
        else:
            axes.barh(place, value, 0.62, xerr=bounds, color=colour, ecolor=_INK, capsize=2)
        axes.annotate(_shown(value), (high, place), (5, 0), textcoords="offset points",
                      va="center", fontsize=8, color=_INK)  # fmt: skip
    axes.set_yticks(range(len(lines)), [row.variant.name for row in lines])
    axes.set_xlabel(label, fontsize=8.5, color=_INK)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
