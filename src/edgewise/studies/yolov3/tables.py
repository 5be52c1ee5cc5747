"""The paper's tables and its figure 5 beside ours."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgewise import units
from edgewise.studies import measured
from edgewise.studies.result import Curve, Plot, Row, Table
from edgewise.studies.yolov3.paper import PARTS, TABLE_1
from edgewise.study import Finding

_METRICS = ("ap50", "ap75", "coco")
_NAMES = ("mAP@0.5", "AP75", "COCO AP")
_LESS = tuple(f"{name}, less float" for name in _NAMES)
_SCHEMES = {"int8": "8 bits", "w4a8": "4-bit weights, 8-bit activations", "int4": "4 bits"}
_INTERVALS = (
    "Intervals of 95 %, by bootstrap over the test images; differences are of the same images. "
    "They say nothing of another training."
)

# What is quantized -> what the exact network with the same parts on integers is called.
_TIMED = {
    "float": "float32, onnxruntime",
    "backbone": "backbone int8, onnxruntime",
    "neck": "neck int8, onnxruntime",
    "head": "head int8, onnxruntime",
    "backbone+neck+head": "int8, onnxruntime",
    "backbone+neck+head with outputs": "int8 with outputs, onnxruntime",
}

Results = Mapping[str, Mapping[str, Any]]


def tables(findings: Sequence[Finding]) -> tuple[Table, ...]:
    """Every table, of what is there."""
    failed = tuple(one for one in findings if one.error is not None)
    found = {one.cell.name: one.result for one in findings if one.error is None}
    seeds = sorted({name.partition("/")[0] for name in found if name.startswith("seed-")})
    made: list[Table] = []
    for seed in seeds:
        own = {name.partition("/")[2]: one for name, one in found.items() if name.startswith(seed)}
        title = "" if len(seeds) == 1 else f", {seed}"
        made.extend(_of_seed(own, title))
    if "measured/local" in found:
        made.append(_measured(found["measured/local"]))
    if "tiny/agreement" in found:
        made.append(_agreement(found["tiny/agreement"]))
    if failed:
        rows = tuple((one.cell.name, str(one.error)) for one in failed)
        made.append(Table("Failed", ("cell", "why"), rows))
    return tuple(made)


def _of_seed(own: Results, title: str) -> Iterator[Table]:
    if "float" in own:
        yield _first(own, title)
        yield _classes(own["float"], title)
    for scheme, words in _SCHEMES.items():
        if f"partial-{scheme}" in own:
            yield _parts(own[f"partial-{scheme}"], scheme, words, title)


def _first(own: Results, title: str) -> Table:
    """Table 1: float, after training, and in training."""
    floats = own["float"]
    paper = TABLE_1["float"].map
    lines: list[Row] = [
        ("float", f"{paper:.2f} %", "", *_values(floats["artifact"]), "", "", "",
         units.size(floats["export"]["size_bytes"]), ""),
    ]  # fmt: skip
    for scheme, words in _SCHEMES.items():
        whole = next(_rows_named(own.get(f"partial-{scheme}"), "backbone+neck+head"), None)
        learned = own.get(f"qat-{scheme}")
        for name, one in (("ptq", whole), ("qat", learned)):
            if one is not None:
                told = TABLE_1[name].map if scheme == "int8" else None
                theirs = ("", "") if told is None else (f"{told:.2f} %", f"{told - paper:+.2f}")
                called = "after training" if name == "ptq" else "in training"
                lines.append((f"{words}, {called}", *theirs, *_compared(one)))
    headings = ("", "paper, mAP", "less float", *_NAMES, *_LESS, "file", "simulated mAP@0.5")
    notes = (_INTERVALS, "The three layers that make the outputs stay in float.")
    return Table(f"1. The whole detector{title}", headings, tuple(lines), notes)


def _parts(result: Mapping[str, Any], scheme: str, words: str, title: str) -> Table:
    """Table 2: parts alone, in pairs, all."""
    lines = []
    for one in sorted(result["rows"], key=_order):
        told = PARTS.get(one["name"]) if scheme == "int8" else None
        theirs = "" if told is None else f"{told.points:+.2f}"
        lines.append((one["name"], theirs, *_compared(one)))
    headings = ("quantized", "paper, mAP less float", *_NAMES, *_LESS, "file", "simulated mAP@0.5")
    return Table(f"2. Parts of the detector, {words}{title}", headings, tuple(lines), (_INTERVALS,))


def _order(row: Mapping[str, Any]) -> tuple[bool, int, list[int]]:
    """Single parts first, then pairs, then all; those with outputs last."""
    name, outputs, _ = str(row["name"]).partition(" with outputs")
    parts = [list(PARTS).index(part) for part in name.split("+")]
    return bool(outputs), len(parts), parts


def _classes(floats: Mapping[str, Any], title: str) -> Table:
    rows = tuple(
        (one["name"], _percent(one["ap50"]), _percent(one["recall"])) for one in floats["classes"]
    )
    return Table(f"By class, float{title}", ("class", "AP at 0.5", "recall"), rows)


def _measured(result: Mapping[str, Any]) -> Table:
    theirs = [
        (f"paper, Raspberry Pi 3B+: {name}", f"{one.size_mb:g} MB", f"{one.latency_s:g} s",
         measured.rate(one.latency_s),
         f"{TABLE_1['float'].latency_s / one.latency_s:.2f}x" if name != "float" else "",
         "", "", "")
        for name, one in TABLE_1.items()
    ]  # fmt: skip
    changes = [
        (f"paper: {name} alone", f"{100 * one.size:+.1f} %", f"{100 * one.latency:+.1f} %", "",
         f"{1 / (1 + one.latency):.2f}x", "", "", "")
        for name, one in PARTS.items()
    ]  # fmt: skip
    title = f"3. YOLOv3 at 416x416 on {result['cpu']}, batch 1, one thread"
    notes = (
        "The exact network, with random weights: they change neither time nor size.",
        f"It has {units.count(result['parameters'])} parameters and takes "
        f"{units.count(result['macs'])} multiply-accumulates an image.",
        *result["remarks"],
    )
    rows = (*theirs, *changes, *measured.rows(result))
    return Table(title, ("", *measured.HEADINGS), rows, notes)


def _agreement(result: Mapping[str, Any]) -> Table:
    rows = tuple(
        (one["name"], f"{one['repeated']} of {one['of']}", units.size(one["size_bytes"]))
        for one in result["rows"]
    )
    notes = (
        f"Of {len(result['photographs'])} photographs of darknet's; ranges are found on "
        f"{result['calibrated']} others. A detection above 0.5 is repeated where there is one of "
        "its class above 0.25 that overlaps it by more than half.",
    )
    title = "4. YOLOv3-tiny with its published weights: detections of float32 that are repeated"
    return Table(title, ("", "repeated", "file"), rows, notes)


def _rows_named(result: Mapping[str, Any] | None, name: str) -> Iterator[Mapping[str, Any]]:
    return (one for one in (result or {}).get("rows", ()) if one["name"] == name)


def _compared(one: Mapping[str, Any]) -> Row:
    return (
        *_values(one["artifact"]),
        *(_points(one["less_float"][name]) for name in _METRICS),
        units.size(one["export"]["size_bytes"]),
        _percent(one["simulation"]["ap50"]),
    )


def _values(estimates: Mapping[str, Any]) -> Row:
    return tuple(_percent(estimates[name]["value"]) for name in _METRICS)


def _percent(value: float | None) -> str:
    return "" if value is None else units.percent(value)


def _points(one: Mapping[str, float]) -> str:
    value, low, high = (100 * one[name] for name in ("value", "low", "high"))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def plots(findings: Sequence[Finding]) -> tuple[Plot, ...]:
    """Validation precision while it is trained, and the paper's figure 5: accuracy by size."""
    found = {one.cell.name: one.result for one in findings if one.error is None}
    trained = {name: one for name, one in found.items() if "curves" in one}
    curves = tuple(
        Curve(name.partition("/")[2], tuple(100 * value for value in one["curves"]["accuracy"]))
        for name, one in trained.items()
        if name.startswith("seed-0/")
    )
    made = [Plot("Training", "epoch", "validation mAP@0.5, %", curves)] if curves else []
    for metric, called in (("ap50", "mAP@0.5"), ("ap75", "AP75")):
        points = tuple(_by_size(found, metric))
        if points:
            made.append(Plot(f"{called} by size", "file, MB", f"{called}, %", points))
        points = tuple(_by_latency(found, metric))
        if points:
            across = "ms an image, exact network at 416x416"
            made.append(Plot(f"{called} by latency", across, f"{called}, %", points))
    return tuple(made)


def _by_latency(found: Results, metric: str) -> Iterator[Curve]:
    """A curve of one point for every part that was quantized: precision of the trained network, and
    time of the exact one with the same parts on integers."""
    timed = {
        one["name"]: one["p50_s"] for one in found.get("measured/local", {}).get("variants", ())
    }
    scored = {one["name"]: one for one in found.get("seed-0/partial-int8", {}).get("rows", ())}
    scored |= {"float": found["seed-0/float"]} if "seed-0/float" in found else {}
    for name, measured_as in _TIMED.items():
        if name in scored and measured_as in timed:
            yield _point(name, scored[name], metric, 1000 * timed[measured_as]["value"])


def _by_size(found: Results, metric: str) -> Iterator[Curve]:
    """A curve of one point for every part that was quantized, at 8 and at 4 bits."""
    if "seed-0/float" in found:
        yield _sized("float", found["seed-0/float"], metric)
    for scheme in ("int8", "int4"):
        for one in found.get(f"seed-0/partial-{scheme}", {}).get("rows", ()):
            if len(one["name"].split("+")) != 2:
                yield _sized(f"{one['name']}, {scheme}", one, metric)
        if f"seed-0/qat-{scheme}" in found:
            yield _sized(f"trained, {scheme}", found[f"seed-0/qat-{scheme}"], metric)


def _sized(name: str, one: Mapping[str, Any], metric: str) -> Curve:
    return _point(name, one, metric, one["export"]["size_bytes"] / 1e6)


def _point(name: str, one: Mapping[str, Any], metric: str, at: float) -> Curve:
    estimate = one["artifact"][metric]
    ends = (100 * estimate["low"],), (100 * estimate["high"],)
    return Curve(name, (100 * estimate["value"],), (at,), *ends)
