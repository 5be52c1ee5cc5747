"""What a bundle shows, in sentences: the headline, what to know before believing it, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewise import units
from edgewise.audit import explain
from edgewise.report import figures
from edgewise.report.contents import Contents
from edgewise.report.parse import printable
from edgewise.report.rows import Row, is_tie
from edgewise.report.schema import Closeness, Precision
from edgewise.stats import Interval


@dataclass(frozen=True)
class Notice:
    """Something to know before believing the figures. title: in two or three words."""

    title: str
    text: str


def title(contents: Contents) -> str:
    """What the main table is a table of."""
    return f"{contents.model.name} on {_data(contents)}{_measured(contents)}"


def headline(contents: Contents, table: Sequence[Row]) -> str:
    """What was compressed and what came of it, in one sentence."""
    row = chosen(table)
    if row is None:
        return f"{contents.model.name}, not compressed: the baseline alone."
    facts = [fact for fact in (_size(row), _speed(row)) if fact]
    accuracy = _merit(row, contents)
    said = " and ".join(facts)
    return f"{row.variant.name} is {said}{'; ' if said and accuracy else ''}{accuracy}."


def chosen(table: Sequence[Row]) -> Row | None:
    """The variant that the headline is about: the fastest measured one, else the smallest."""
    others = [row for row in table if not row.is_baseline]
    timed = [row for row in others if row.speed_up is not None]
    if timed:
        return max(timed, key=lambda row: row.speed_up.value if row.speed_up else 0.0)
    return min(others, key=lambda row: row.variant.size_bytes, default=None)


def notices(contents: Contents) -> tuple[Notice, ...]:
    """Everything that limits what the figures mean, most important first."""
    found = []
    if contents.data.stand_in_for:
        found.append(
            Notice(
                "Stand-in data",
                f"{contents.data.name} stands in for {contents.data.stand_in_for}. Size, MACs and "
                f"latency carry over; {merit(contents)} is {merit(contents)} on the stand-in "
                "only.",
            )
        )
    if contents.accuracy is not None and not contents.accuracy.result.labelled:
        found.append(
            Notice(
                "No labels",
                f"{contents.data.name} has no labels, so accuracy is unknown; shown is how often "
                "an artifact gives the same answer as the float network.",
            )
        )
    if contents.precision is not None:
        found += _boxes(contents.precision.result.variants)
    if contents.closeness is not None:
        found.append(Notice("Nothing to score by", _CLOSE.format(contents.data.name)))
    return (*found, *_timing_notices(contents))


def _boxes(variants: Sequence[Precision]) -> list[Notice]:
    """Variants whose loss shows in where boxes lie, and not in what is found."""
    moved = [
        one.name
        for one in variants
        if one.difference.ap75.high < 0 and one.difference.ap50.high >= 0
    ]
    if not moved:
        return []
    text = (
        f"{', '.join(moved)} finds the objects, but its boxes lie less well: mAP@0.5 hides that, "
        "AP75 does not."
    )
    return [Notice("Boxes", text)]


_CLOSE = (
    "{} does not say what is right for this network, so its quality is unknown; shown is how close "
    "the outputs of an artifact are to those of the float network."
)


def merit(contents: Contents) -> str:
    """What the figure is called that says how good a variant is."""
    if contents.precision is not None:
        return "average precision"
    return "accuracy" if contents.closeness is None else "closeness to float"


def why(row: Row) -> str:
    """Why this variant is as fast as it is; empty for the baseline or without its export record."""
    if row.export is None or row.is_baseline:
        return ""
    features = None if row.measured is None else row.measured.machine.get("features")
    return explain(asdict(row.export), row.speed_up, row.variant.recipe, features)


def boundaries(row: Row) -> str:
    """How often values change between integers and float; empty where nothing tells, or nothing is
    quantized.
    """
    known = None if row.export is None else row.export.boundaries
    if not known:
        return ""
    inside = [one for one in known if one.place == "inside"]
    ends = sum(one.elements for one in known if one.place != "inside")
    said = "no boundaries inside"
    if inside:
        number = "1 boundary" if len(inside) == 1 else f"{len(inside)} boundaries"
        values = units.count(sum(one.elements for one in inside))
        said = f"{number} inside between integers and float, {values} values converted per image"
    return f"{said}; image and answer: {units.count(ends)}"


def crossings(row: Row) -> list[str]:
    """Each boundary inside, with the layers on its two sides and its values."""
    known = () if row.export is None else row.export.boundaries or ()
    return [
        f"{', '.join(one.before)} → {', '.join(one.after)}: {units.count(one.elements)} to "
        f"{'integers' if one.integer else 'float'}"
        for one in known
        if one.place == "inside"
    ]


def recipe(value: Mapping[str, Any]) -> str:
    """A stored recipe as a line: each step, and its settings."""
    steps = value.get("steps")
    if not isinstance(steps, list):
        return "–"
    return " → ".join(_step(step) for step in steps if isinstance(step, Mapping))


def _timing_notices(contents: Contents) -> list[Notice]:
    if contents.emulated is not None:
        return [
            Notice(
                "Emulated device",
                f"{contents.emulated} proves what is computed; how long an emulated processor "
                "takes means nothing and is not shown.",
            )
        ]
    if contents.measurement is None:
        return [Notice("Not measured", "Latency, memory and CPU were not measured.")]
    series, found = contents.measurement.result, []
    if series.mode == "quick":
        found.append(
            Notice(
                "Quick measurement",
                f"At least {series.protocol.samples} inferences and "
                f"{units.seconds(series.protocol.seconds)} a variant; "
                "measure in full before deciding.",
            )
        )
    if series.device == "local":
        found.append(
            Notice(
                "Measured on the host",
                f"Times are of {printable(str(series.baseline.machine.get('cpu')))}, the computer "
                "that made this bundle; ratios do not carry over to another processor.",
            )
        )
    remarks = [printable(text) for text in series.remarks()]
    if remarks:
        found.append(Notice("Not a quiet machine", " ".join(remarks)))
    return found


def _data(contents: Contents) -> str:
    stand_in = contents.data.stand_in_for
    return f"{contents.data.name} (stand-in for {stand_in})" if stand_in else contents.data.name


def _measured(contents: Contents) -> str:
    if contents.measurement is None:
        return ", not measured"
    series = contents.measurement.result
    return f", {series.mode} measurement on {printable(series.device)}"


def _size(row: Row) -> str:
    if not row.variant.size_bytes:
        return ""
    return f"{row.baseline.size_bytes / row.variant.size_bytes:.1f} times smaller"


def _speed(row: Row) -> str:
    if row.speed_up is None:
        return ""
    if is_tie(row.speed_up):
        return f"as fast as {row.baseline.name} (a tie)"
    if row.speed_up.value > 1:
        return f"{row.speed_up.value:.1f} times as fast as {row.baseline.name}"
    return f"slower than {row.baseline.name}, at {row.speed_up.value:.2f} times its speed"


def _accuracy(row: Row, contents: Contents) -> str:
    accuracy = row.accuracy
    if accuracy is None or contents.accuracy is None:
        return ""
    images = f"{contents.accuracy.result.images:,} images"
    if accuracy.difference is not None:
        return _loss(accuracy.difference, images)
    if accuracy.agreement_with_float is None:
        return ""
    share = units.percent(accuracy.agreement_with_float)
    return f"it gives the float network's answer on {share} of {images}"


def _merit(row: Row, contents: Contents) -> str:
    """How good a variant is beside the baseline, in words."""
    if row.precision is not None and contents.precision is not None:
        images = f"{contents.precision.result.images:,} images"
        value, interval = figures.points(row.precision.difference.ap75)
        return (
            f"{_loss(row.precision.difference.ap50, images, 'mAP@0.5')}, and AP75 changes by "
            f"{value} ({interval})"
        )
    if row.closeness is not None and contents.closeness is not None:
        return _near(row.closeness, f"{contents.closeness.result.images:,} images")
    return _accuracy(row, contents)


def _near(closeness: Closeness, images: str) -> str:
    known = [one.artifact_db for one in closeness.outputs if one.artifact_db is not None]
    text = f"its outputs are those of the float network on {images}"
    if known:
        text = (
            f"the signal of its noisiest output is {min(known):.1f} dB above the noise on {images}"
        )
    repeated = closeness.agreement_with_float
    if repeated is None or not repeated.of:
        return text
    return f"{text}, and it finds {repeated.repeated:,} of {repeated.of:,} sure detections again"


def _loss(difference: Interval, images: str, name: str = "accuracy") -> str:
    value, interval = figures.points(difference)
    if difference.low <= 0 <= difference.high:
        return f"{name} changes by {value} ({interval}), within the error of {images}"
    if difference.high < 0:
        return f"it loses {name}: {value} ({interval}) on {images}"
    return f"it gains {name}: {value} ({interval}) on {images}"


def _step(step: Mapping[str, Any]) -> str:
    settings = ", ".join(
        f"{key} {_setting(value)}"
        for key, value in step.items()
        if key != "step" and value not in ([], None)
    )
    name = printable(str(step.get("step")))
    return f"{name} ({settings})" if settings else name


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_setting(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return " ".join(_setting(inner) for inner in value)
    return printable(str(value))
