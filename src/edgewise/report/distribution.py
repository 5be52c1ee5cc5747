"""How long inferences took: every variant's raw samples, nothing clipped away."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from edgewise.report import figures, plot
from edgewise.report.contents import Contents
from edgewise.report.rows import Row
from edgewise.series.measurement import Measurement

_WIDE = 4  # latencies further apart than this ratio are shown on a logarithmic axis
_DOTS = 300  # samples drawn, at evenly spaced ranks from the fastest to the slowest, and
_SLOWEST = 30  # these, since what is rare and slow matters
_BINS = 400
_SMOOTH = 3.0  # bins
_HIGH = 0.44  # of a line, at the densest
_LONGEST = 20


def latency_distributions(contents: Contents, table: Sequence[Row]) -> str | None:
    """Density and samples of latency, ms, by variant; None where nothing was measured."""
    measured = [(place, row.measured) for place, row in enumerate(table) if row.measured]
    if contents.measurement is None or not measured:
        return None
    quick = " (quick measurement)" if contents.measurement.result.mode == "quick" else ""

    def paint(axes: Axes) -> None:
        least = min(one.samples.min() for _, one in measured) * 1e3
        most = max(one.samples.max() for _, one in measured) * 1e3
        wide = most / least > _WIDE
        if wide:
            axes.set_xscale("log")
            axes.set_xlim(least / 1.15, most * 1.15)
        for line, (place, one) in enumerate(measured):
            _one(axes, len(measured) - 1 - line, place, one)
        names = [plot.elide(table[place].variant.name, _LONGEST) for place, _ in measured]
        axes.set_yticks(range(len(measured)), names[::-1])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.4, len(measured) - 0.3)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"one inference, ms{quick}")
        plot.plain_numbers(axes.xaxis, least, most)

    title = "distribution of the time of one inference"
    return plot.draw("distribution", title, 0.75 + 0.8 * len(measured), paint)


def _one(axes: Axes, line: int, place: int, one: Measurement) -> None:
    """Above the line the density, below it samples; the median with its interval on it."""
    samples = np.sort(one.samples) * 1e3
    colour = plot.colour(place)
    where, density = _density(samples)
    axes.fill_between(where, line, line + _HIGH * density, color=colour, alpha=0.3, linewidth=0)
    axes.plot(where, line + _HIGH * density, color=colour, linewidth=1)
    ranks = np.linspace(0, len(samples) - 1, min(len(samples), _DOTS)).astype(np.int64)
    slowest = np.arange(max(0, len(samples) - _SLOWEST), len(samples))
    chosen = samples[np.union1d(ranks, slowest)]
    spread = np.random.default_rng(0).uniform(-0.26, -0.08, len(chosen))
    axes.scatter(chosen, line + spread, s=3, color=colour, alpha=0.5, linewidth=0)
    p50 = one.statistics.p50_s
    axes.plot([p50.low * 1e3, p50.high * 1e3], [line, line], color=plot.INK, linewidth=2.5)
    axes.plot([p50.value * 1e3], [line], marker="o", color=plot.INK, markersize=4.5)
    axes.annotate(
        figures.seconds(p50)[0],
        (p50.value * 1e3, line + _HIGH),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        color=plot.INK,
    )


def _density(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where, and how densely samples lie there on a logarithmic scale, the densest being 1."""
    logs = np.log(samples)
    edges = np.linspace(logs[0] - 0.02, logs[-1] + 0.02, _BINS + 1)
    counts = np.histogram(logs, edges)[0].astype(np.float64)
    reach = np.arange(-3 * _SMOOTH, 3 * _SMOOTH + 1)
    kernel = np.exp(-0.5 * (reach / _SMOOTH) ** 2)
    smooth = np.convolve(counts, kernel, mode="same")
    return np.exp((edges[:-1] + edges[1:]) / 2), smooth / smooth.max()
