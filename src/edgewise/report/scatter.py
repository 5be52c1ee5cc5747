"""Accuracy against what it costs: one point a variant, with 95 % intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from edgewise.report import plot
from edgewise.report.contents import Contents
from edgewise.report.rows import Row
from edgewise.stats import Interval

_WIDE = 20  # costs further apart than this ratio are shown on a logarithmic axis
_LEAST_POINTS = 1.0  # of the accuracy axis: less would make noise look like a finding
_ROOM = 0.15  # of the axes, left free around the points for their names
_LONGEST = 24
_HEIGHT = 3.5  # inches
_LINE = 0.21  # inches of a legend's line
_LEGEND = 64  # characters that fit in it

# Where a name may stand beside its point, best first: units of the plot, and its alignment.
_PLACES = (
    (9, 0, "left", "center"),
    (-9, 0, "right", "center"),
    (8, 8, "left", "bottom"),
    (8, -8, "left", "top"),
    (-8, 8, "right", "bottom"),
    (-8, -8, "right", "top"),
)


@dataclass(frozen=True)
class Point:
    """A variant in a plot. place: in the table, decides colour and marker."""

    name: str
    place: int
    x: Interval
    y: Interval


def accuracy_by_size(contents: Contents, table: Sequence[Row]) -> str | None:
    """Accuracy, %, against the file's size, MB; None where there are not two points to compare."""
    points = _points(table, _size)
    title = f"{_quantity(contents)} against file size"
    return draw_points("by-size", title, points, "file size, MB", _label(contents))


def accuracy_by_latency(contents: Contents, table: Sequence[Row]) -> str | None:
    """Accuracy, %, against the median latency, ms; None where there are not two points."""
    points = _points(table, _latency)
    mode = "" if contents.measurement is None else contents.measurement.result.mode
    label = f"median latency, ms{' (quick measurement)' if mode == 'quick' else ''}"
    title = f"{_quantity(contents)} against median latency"
    return draw_points("by-latency", title, points, label, _label(contents))


def _points(table: Sequence[Row], cost: Callable[[Row], Interval | None]) -> list[Point]:
    found = []
    for place, row in enumerate(table):
        x, y = cost(row), _accuracy(row)
        if x is not None and y is not None:
            found.append(Point(plot.elide(row.variant.name, _LONGEST), place, x, y))
    return found


def _size(row: Row) -> Interval | None:
    if row.export is None:
        return None
    size = row.export.size_bytes / 1e6
    return Interval(size, size, size)


def _latency(row: Row) -> Interval | None:
    return None if row.measured is None else _scaled(row.measured.statistics.p50_s, 1e3)


def _accuracy(row: Row) -> Interval | None:
    """In percent, of a detector its mAP@0.5; without labels, how often the artifact answers as the
    baseline does.
    """
    if row.precision is not None:
        return _scaled(row.precision.artifact.ap50, 100)
    if row.closeness is not None:
        repeated = row.closeness.agreement_with_float
        share = None if repeated is None else repeated.share
        return None if share is None else _scaled(Interval(share, share, share), 100)
    if row.accuracy is None:
        return None
    if row.accuracy.artifact is not None:
        return _scaled(row.accuracy.artifact, 100)
    agreement = row.accuracy.agreement_with_float
    return None if agreement is None else _scaled(Interval(agreement, agreement, agreement), 100)


def _scaled(figure: Interval, factor: float) -> Interval:
    return Interval(figure.value * factor, figure.low * factor, figure.high * factor)


def _quantity(contents: Contents) -> str:
    if contents.precision is not None:
        return "mAP@0.5"
    labelled = contents.accuracy is not None and contents.accuracy.result.labelled
    return "accuracy" if labelled else "agreement with float"


def _label(contents: Contents) -> str:
    data = plot.elide(contents.data.name, _LONGEST)
    stand_in = " (stand-in)" if contents.data.stand_in_for else ""
    return f"{_quantity(contents)}, %\non {data}{stand_in}"


def draw_points(
    name: str, title: str, points: Sequence[Point], x_label: str, y_label: str
) -> str | None:
    """The plot of the points; None where there are not two to compare."""
    if len(points) < 2:
        return None

    def paint(axes: Axes) -> None:
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _range(axes, points)
        for point in points:
            axes.errorbar(
                point.x.value,
                point.y.value,
                xerr=[[point.x.value - point.x.low], [point.x.high - point.x.value]],
                yerr=[[point.y.value - point.y.low], [point.y.high - point.y.value]],
                fmt=plot.marker(point.place),
                color=plot.colour(point.place),
                markersize=7,
                markeredgecolor=plot.PAPER,
                elinewidth=1.3,
                capsize=2.5,
                label=point.name,
            )
        if not _named(axes, points):
            _legend(axes, points)

    return plot.draw(name, title, _HEIGHT, paint)


def _range(axes: Axes, points: Sequence[Point]) -> None:
    """Costs from zero, or logarithmic where they lie far apart; accuracy around its intervals."""
    least, most = min(point.x.low for point in points), max(point.x.high for point in points)
    if least > 0 and most / least > _WIDE:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.6, most * 1.6)
    else:
        axes.set_xlim(0, most * (1 + _ROOM) or 1)
    low, high = min(point.y.low for point in points), max(point.y.high for point in points)
    spare = max(0.0, _LEAST_POINTS - (high - low)) / 2
    room = _ROOM * (high - low + 2 * spare)
    axes.set_ylim(max(0.0, low - spare - room), high + spare + room)
    if high + spare > 100:  # nothing is more than all
        axes.set_ylim(top=100 + room)
    plot.plain_numbers(axes.xaxis, least, most)
    plot.plain_numbers(axes.yaxis, low, high)


def _named(axes: Axes, points: Sequence[Point]) -> bool:
    """Write each name beside its point, if all can stand free of each other and of intervals."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    taken = [box for point in points for box in _boxes(axes, point)]
    inside = axes.get_window_extent()
    written: list[Annotation] = []
    for point in points:
        text = axes.annotate(
            point.name,
            (point.x.value, point.y.value),
            xytext=(0, 0),
            textcoords="offset points",
            color=plot.INK,
        )
        written.append(text)
        boxes = (_at(text, place) for place in _PLACES)
        free = next((box for box in boxes if _free(box, taken, inside)), None)
        if free is None:
            for each in written:
                each.remove()
            return False
        taken.append(free)
    return True


def _legend(axes: Axes, points: Sequence[Point]) -> None:
    """Names below the plot, where it is too crowded for them."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    longest = max(len(point.name) for point in points)
    columns = max(1, _LEGEND // (longest + 4))
    figure.set_figheight(_HEIGHT + _LINE * math.ceil(len(points) / columns))
    figure.legend(loc="outside lower center", ncols=columns)


def _at(text: Annotation, place: tuple[float, float, str, str]) -> Bbox:
    x, y, across, along = place
    text.set_position((x, y))
    text.set_horizontalalignment(across)  # type: ignore[arg-type]
    text.set_verticalalignment(along)  # type: ignore[arg-type]
    return text.get_window_extent().padded(1)


def _free(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> bool:
    """Whether the box covers nothing that is there already, and does not leave the axes."""
    within = Bbox.intersection(box, inside)
    if within is None or within.width < box.width or within.height < box.height:
        return False
    return all(Bbox.intersection(box, other) is None for other in taken)


def _boxes(axes: Axes, point: Point) -> list[Bbox]:
    """What a point and its interval cover, in units of the plot."""
    x, y = axes.transData.transform((point.x.value, point.y.value))
    left, low = axes.transData.transform((point.x.low, point.y.low))
    right, high = axes.transData.transform((point.x.high, point.y.high))
    return [
        Bbox.from_extents(x - 4, y - 4, x + 4, y + 4),
        Bbox.from_extents(left, y - 1, right, y + 1),
        Bbox.from_extents(x - 1, low, x + 1, high),
    ]
