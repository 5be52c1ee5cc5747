"""The three measures of sensitivity side by side, bars in the order that layers run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgewise.errors import UsageError
from edgewise.report import plot
from edgewise.report.sensitivity import Part, Ranking, title

KINDS = ("svg", "png")
_WIDTH = 9.6  # inches
_LINE = 0.22  # inches a part
_LONGEST = 28
_BAR = 0.72
_FLOOR_DB = 2.0  # how long the bar of the least noisy part is


def kind_of(path: Path) -> str:
    """The format that a file's name asks for; raises UsageError for another than SVG and PNG."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError(f"a plot is written as .svg or .png, not as '{path.name}'.")
    return kind


def sensitivity(kind: str, ranking: Ranking, model: str) -> bytes:
    """The file's content. In every panel a longer bar is a more sensitive layer."""

    def paint(figure: Figure) -> None:
        figure.suptitle(title(ranking, model), fontsize=10, x=0.01, ha="left")
        panels = figure.subplots(1, len(_PANELS), sharey=True)
        for axes, draw in zip(panels, _PANELS, strict=True):
            draw(axes, ranking.parts)
            axes.grid(visible=False, axis="y")
        names = [plot.elide(one.name, _LONGEST) for one in ranking.parts]
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.4, -0.6)

    return plot.picture(kind, (_WIDTH, 1.3 + _LINE * max(3, len(ranking.parts))), paint)


def _measured(axes: Axes, parts: Sequence[Part]) -> None:
    losses = [one.change.loss for one in parts]
    axes.barh(range(len(parts)), [one.value for one in losses], _BAR, color=plot.SERIES[1])
    for line, one in enumerate(losses):
        axes.plot([one.low, one.high], [line, line], color=plot.INK, linewidth=1.2)
    axes.axvline(0, color=plot.MUTED, linewidth=0.8)
    axes.set_xlabel("measured: loss increase, nats\n(95 % interval)")


def _noise(axes: Axes, parts: Sequence[Part]) -> None:
    """Noise over signal, so that a longer bar is worse here too."""
    alone = -np.array([one.alone_sqnr_db for one in parts])
    floor = float(alone.min()) - _FLOOR_DB
    axes.barh(range(len(parts)), alone - floor, _BAR, left=floor, color=plot.SERIES[2])
    axes.set_xlim(left=floor)
    axes.set_xlabel("noise over signal at its output, dB\n(SQNR alone, negated)")


def _fit(axes: Axes, parts: Sequence[Part]) -> None:
    axes.barh(range(len(parts)), [one.fit for one in parts], _BAR, color=plot.SERIES[3])
    axes.set_xlabel("FIT: Fisher information times\nsquared perturbation, nats²")


_PANELS: tuple[Callable[[Axes, Sequence[Part]], None], ...] = (_measured, _noise, _fit)
