"""The network layer by layer, in the order it runs: how sensitive, and executed how."""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from edgewise.report import plot
from edgewise.report.schema import Execution, LayerSensitivity

_LONGEST = 28  # characters of a layer's name
_REGION = 12
_LINE = 0.205  # inches a layer
_TEXT = 9

_KINDS: tuple[tuple[str, Callable[[Execution], bool], str, str], ...] = (
    ("on integers", lambda one: one.integer, plot.SERIES[1], ""),
    ("in float, as meant", lambda one: not one.integer and not one.meant, plot.SERIES[2], "///"),
    ("in float, integers meant", lambda one: not one.integer and one.meant, plot.SERIES[4], "xxx"),
)


def sensitivity(name: str, variant: str, layers: Sequence[LayerSensitivity]) -> str | None:
    """Signal to quantization noise at each layer's output, dB: from it alone, and all up to it."""
    if not any(one.alone_sqnr_db is not None for one in layers):
        return None

    def paint(axes: Axes) -> None:
        lines = np.arange(len(layers))
        _frame(axes, [one.layer for one in layers])
        _regions(axes, [one.region for one in layers])
        accumulated = [_or_nan(one.accumulated_sqnr_db) for one in layers]
        alone = [_or_nan(one.alone_sqnr_db) for one in layers]
        shown = [
            *axes.plot(alone, lines, color=plot.SERIES[1], marker="o", markersize=5, linewidth=0,
                       label="this layer alone"),
            *axes.plot(accumulated, lines, color=plot.SERIES[2], marker="D", markersize=4,
                       linewidth=1.3, label="this and all layers before it"),
        ]  # fmt: skip
        axes.set_xlabel("SQNR at the layer's output, dB")
        _legend(axes, shown)

    title = f"sensitivity of the layers of {variant} to quantization"
    return plot.draw(name, title, _height(len(layers)), paint)


def executions(name: str, variant: str, layers: Sequence[Execution]) -> str | None:
    """MACs of every layer, coloured by what executes it."""
    if not layers:
        return None

    def paint(axes: Axes) -> None:
        _frame(axes, [one.layer for one in layers])
        factor, unit = _unit(max(one.macs for one in layers))
        shown = []
        for label, chosen, colour, hatch in _KINDS:
            lines = [line for line, one in enumerate(layers) if chosen(one)]
            if not lines:
                continue
            macs = [layers[line].macs / factor for line in lines]
            axes.barh(lines, macs, height=0.72, color=colour, hatch=hatch, linewidth=0)
            shown.append(Patch(facecolor=colour, hatch=hatch, linewidth=0, label=label))
        axes.set_xlabel(f"MACs of one inference{unit}")
        _legend(axes, shown)

    return plot.draw(name, f"how {variant} executes each layer", _height(len(layers)), paint)


def _frame(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [plot.elide(each, _LONGEST) for each in names])
    axes.tick_params(axis="y", length=0, labelsize=_TEXT)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)


def _regions(axes: Axes, regions: Sequence[str]) -> None:
    """Names of regions beside their layers, where the network has more than one."""
    if len({each for each in regions if each}) < 2:
        return
    first = 0
    for place, (region, group) in enumerate(groupby(regions)):
        last = first + len(list(group))
        if place % 2:
            axes.axhspan(first - 0.5, last - 0.5, color=plot.GRID, alpha=0.35, linewidth=0)
        axes.annotate(
            plot.elide(region, _REGION),
            (1.01, (first + last - 1) / 2),
            xycoords=("axes fraction", "data"),
            ha="left",
            va="center",
            color=plot.MUTED,
            fontsize=_TEXT,
        )
        first = last


def _legend(axes: Axes, handles: Sequence[Artist]) -> None:
    axes.figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), fontsize=_TEXT
    )


def _height(layers: int) -> float:
    return 0.95 + _LINE * max(3, layers)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _unit(most: float) -> tuple[float, str]:
    for factor, name in ((1e9, ", billions"), (1e6, ", millions"), (1e3, ", thousands")):
        if most >= factor:
            return factor, name
    return 1.0, ""
