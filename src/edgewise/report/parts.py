"""The parts of the page: tiles, plots, facts and tables, ready to be laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from edgewise import units
from edgewise.report import detector, distribution, grids, layers, near, scatter, words
from edgewise.report.cell import MISSING, Cell
from edgewise.report.contents import Contents, Recorded, Source
from edgewise.report.grid import Grid
from edgewise.report.rows import Row
from edgewise.report.schema import Export, LayerSensitivity, Sensitivity
from edgewise.report.table import cells
from edgewise.series.series import Series


@dataclass(frozen=True)
class Plot:
    """A drawing, what it shows, and the records that it is drawn from."""

    svg: Markup
    caption: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Tile:
    """One figure of the chosen variant, large. comment: what it was and is."""

    label: str
    value: str
    comment: str
    source: Source | None


@dataclass(frozen=True)
class Details:
    """What is shown of one variant by itself."""

    row: Row
    why: str
    recipe: str
    boundaries: tuple[str, ...]
    export: Recorded[Export] | None
    off: tuple[int, int]
    layers: Grid | None
    tensors: Grid | None
    plots: tuple[Plot, ...]


def all_grids(
    contents: Contents, table: Sequence[Row], details: Sequence[Details]
) -> dict[str, Grid]:
    """Every table of the page by its name."""
    found = {"Results": grids.main(table)}
    if contents.accuracy is not None:
        found["Three ways"] = grids.accuracies(contents.accuracy)
    if contents.precision is not None:
        found["Three ways"] = detector.three_ways(contents.precision)
        found["Classes"] = detector.classes(contents.precision)
    if contents.closeness is not None:
        found["Three ways"] = near.outputs(contents.closeness)
    if contents.measurement is not None:
        found["Timing"] = grids.timings(contents.measurement)
    for one in details:
        if one.layers is not None:
            found[f"Layers of {one.row.variant.name}"] = one.layers
        if one.tensors is not None:
            found[f"Tensors of {one.row.variant.name}"] = one.tensors
    return found


def tiles(table: Sequence[Row]) -> list[Tile]:
    """The chosen variant in four figures; what is not known is left out."""
    row = words.chosen(table)
    if row is None:
        return []
    before = cells(next(each for each in table if each.is_baseline))
    after = cells(row)
    found = []
    for heading, label in _TILES.items():
        cell = after.get(heading)
        if cell is None or cell.figure is None:
            continue
        if heading.startswith("same") and "accuracy" in after and after["accuracy"].figure:
            continue
        comment = _comment(heading, before, after) or (
            _layers_on_integers(row) if heading == "MACs in int8" else ""
        )
        found.append(Tile(label, cell.text, comment, cell.source))
    return found


_TILES: Mapping[str, str] = {
    "size": "file size",
    "latency p50": "median latency",
    "accuracy": "accuracy",
    "mAP@0.5": "mAP@0.5",
    "AP75": "AP75",
    near.NOISE: "signal to noise",
    "same answers as float": "same answers as float",
    "MACs in int8": "of the MACs on integers",
}
_CHANGES: Mapping[str, str] = {
    "latency p50": "speed-up",
    "accuracy": "difference to float",
    **{metric: detector.TO_FLOAT.format(metric) for metric in detector.METRICS},
}


def _comment(heading: str, before: Mapping[str, Cell], after: Mapping[str, Cell]) -> str:
    """What a figure was, and how it changed."""
    if heading == "size":
        return f"from {before[heading].text}, {after[heading].detail}"
    if heading in _CHANGES:
        return f"from {before[heading].text}, {after[_CHANGES[heading]].text}"
    return "of the noisiest output" if heading == near.NOISE else ""


def _layers_on_integers(row: Row) -> str:
    executions = () if row.export is None else row.export.executions
    return f"{sum(one.integer for one in executions)} of {len(executions)} layers"


def cost_plots(contents: Contents, table: Sequence[Row]) -> list[Plot]:
    """Accuracy against size, and against latency where it was measured."""
    exports = tuple(one.source for one in contents.exports.values())
    accuracy = () if contents.scores is None else (contents.scores.source,)
    timing = () if contents.measurement is None else (contents.measurement.source,)
    caption = "Up and to the left is better."
    labelled = contents.accuracy is not None and contents.accuracy.result.labelled
    if labelled or contents.precision is not None:
        caption += " Bars are 95 % intervals."
    size = scatter.accuracy_by_size(contents, table)
    latency = scatter.accuracy_by_latency(contents, table)
    return [
        *([_plot(size, caption, (*accuracy, *exports))] if size else []),
        *([_plot(latency, caption, (*accuracy, *timing))] if latency else []),
    ]


def distribution_plot(contents: Contents, table: Sequence[Row]) -> Plot | None:
    """How the times of single inferences are distributed."""
    svg = distribution.latency_distributions(contents, table)
    if svg is None or contents.measurement is None:
        return None
    caption = (
        "Density of all samples above each line, single samples below it, the slowest ones all; "
        "the dot is the median, the bar through it its 95 % interval. Nothing is clipped."
    )
    return _plot(svg, caption, (contents.measurement.source,))


def details_of(contents: Contents, row: Row, place: int) -> Details:
    """One variant by itself. place: in the main table."""
    name = row.variant.name
    export, sensitivity = contents.exports.get(name), contents.sensitivities.get(name)
    checked = export is not None and bool(export.result.checks)
    return Details(
        row=row,
        why=words.why(row),
        recipe=words.recipe(row.variant.recipe),
        boundaries=tuple(text for text in (words.boundaries(row), *words.crossings(row)) if text),
        export=export,
        off=(0, 0) if export is None else grids.off(export.result.checks),
        layers=None if export is None else grids.layers(export, sensitivity),
        tensors=grids.tensors(export) if export is not None and checked else None,
        plots=_layer_plots(name, place, export, sensitivity),
    )


def _layer_plots(
    name: str,
    place: int,
    export: Recorded[Export] | None,
    sensitivity: Recorded[Sensitivity] | None,
) -> tuple[Plot, ...]:
    found = []
    if sensitivity is not None:
        shown = _all_layers(export, sensitivity.result)
        svg = layers.sensitivity(f"sensitivity-{place}", name, shown)
        images = sensitivity.result.images
        caption = f"Further right is better: less noise. On {images} calibration images."
        if svg:
            found.append(_plot(svg, caption, (sensitivity.source,)))
    if export is not None and any(one.integer or one.meant for one in export.result.executions):
        svg = layers.executions(f"executions-{place}", name, export.result.executions)
        caption = "Where the work is, and what the runtime executes it in."
        if svg:
            found.append(_plot(svg, caption, (export.source,)))
    return tuple(found)


def _all_layers(
    export: Recorded[Export] | None, sensitivity: Sensitivity
) -> Sequence[LayerSensitivity]:
    """Float layers too, without figures, so that both plots of a variant have the same lines."""
    if export is None:
        return sensitivity.layers
    pairs = zip(export.result.executions, grids.aligned(export.result, sensitivity), strict=True)
    return [noise or LayerSensitivity(one.layer, "", 0, 0, None, None) for one, noise in pairs]


def _plot(svg: str, caption: str, sources: tuple[Source, ...]) -> Plot:
    return Plot(Markup(svg), caption, sources)  # noqa: S704 - escaped when it was drawn


def protocol(contents: Contents) -> Mapping[str, str]:
    """How it was measured, as facts by name."""
    if contents.measurement is None:
        return {}
    return _measured(contents.measurement.result)


def _measured(series: Series) -> dict[str, str]:
    protocol, machine = series.protocol, series.baseline.machine
    cores = f", pinned to {list(protocol.cores)}" if protocol.cores else ", not pinned"
    return {
        "device": f"{series.device}, {series.condition}",
        "processor": f"{_fact(machine, 'cpu')}, {_fact(machine, 'cores')} cores, "
        f"{_fact(machine, 'architecture')}",
        "board": _fact(machine, "board"),
        "instructions": " ".join(map(str, machine.get("features") or ())) or MISSING,
        "memory": _bytes(machine.get("memory_bytes")),
        "system": f"{_fact(machine, 'system')}, kernel {_fact(machine, 'kernel')}",
        "governor": _fact(machine, "governor"),
        "runtime": f"{_fact(machine, 'runtime')} {_fact(machine, 'runtime_version')}, "
        f"Python {_fact(machine, 'python')}, numpy {_fact(machine, 'numpy')}",
        "mode": f"{series.mode}: at least {protocol.samples} inferences and "
        f"{units.seconds(protocol.seconds)} a variant, at most {units.seconds(protocol.cap_s)}",
        "rounds": f"{protocol.rounds} fresh processes a variant, in random order, the baseline "
        "before, between and after",
        "warm-up": f"at least {protocol.warm_up_count} inferences and "
        f"{units.seconds(protocol.warm_up_s)}, until two windows agree, at most "
        f"{units.seconds(protocol.warm_up_cap_s)}",
        "threads": f"{protocol.threads}{cores}; batch 1",
        "drift of the baseline": units.percent(series.drift, 1)
        + (", too much" if series.drifted else ", within the limit"),
        "memory is": series.baseline.memory.method,
        "intervals": "95 %, bootstrap over processes and blocks of neighbouring samples",
    }


def _fact(machine: Mapping[str, Any], name: str) -> str:
    return str(machine.get(name) or MISSING)


def _bytes(value: Any) -> str:
    return units.size(value) if isinstance(value, int) else MISSING
