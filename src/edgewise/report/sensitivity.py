"""How much each layer or region suffers from quantization, as a table."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgewise.report import figures
from edgewise.report.cell import MISSING
from edgewise.report.parse import parse, printable
from edgewise.stats import Interval

_LEAST = 14  # letters of a name before it is folded
_DIGITS = 2  # significant, of the largest loss increase, and at least as many decimals


@dataclass(frozen=True)
class Sample:
    """Which images were used."""

    split: str
    images: int


@dataclass(frozen=True)
class Change:
    """What quantization does, paired by image: loss in nats, accuracy None without labels."""

    loss: Interval
    standard_error: float
    accuracy: Interval | None
    agreement: float


@dataclass(frozen=True)
class Part:
    """A layer or a region, and the three measures of it."""

    name: str
    region: str
    parameters: int
    change: Change
    alone_sqnr_db: float
    accumulated_sqnr_db: float
    fit: float


@dataclass(frozen=True)
class Ranking:
    """An analysis as it is stored; parts in the order they run."""

    by: str
    data: str
    stand_in_for: str | None
    weight_bits: int
    activation_bits: int
    loss: str
    float_loss: float
    measured_on: Sample
    cheap_on: Sample
    parts: tuple[Part, ...]
    whole: Change
    rank_correlation: Mapping[str, Interval | None]
    warnings: tuple[str, ...]

    @property
    def ranked(self) -> tuple[Part, ...]:
        """From the most sensitive to the least, by the measured loss."""
        return tuple(sorted(self.parts, key=lambda one: -one.change.loss.value))


def read(result: Any, where: str) -> Ranking:
    """The ranking in parsed JSON; raises StorageError for what is none."""
    return parse(Ranking, result, where)


def title(ranking: Ranking, model: str) -> str:
    """What is shown."""
    stand_in = " (stand-in)" if ranking.stand_in_for else ""
    bits = f"{ranking.weight_bits}-bit weights, {ranking.activation_bits}-bit activations"
    return f"{printable(model)} on {ranking.data}{stand_in}: one {ranking.by} at a time, {bits}"


def to_rich(ranking: Ranking, model: str) -> Group:
    """The table for a terminal, the most sensitive on top, and what to know before choosing."""
    shown = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, padding=0)
    measured = _measured(ranking)
    longest = max((len(part.name) for part in ranking.parts), default=0)
    least = min(longest, _LEAST)  # narrower columns leave it this much in a terminal of 80
    shown.add_column(ranking.by, "all together", overflow="fold", min_width=least)
    for heading, write in measured.items():
        shown.add_column(heading, write(ranking.whole), justify="right", no_wrap=True)
    for heading in _CHEAP:
        shown.add_column(heading, justify="right", no_wrap=True)
    for part in ranking.ranked:
        changes = (write(part.change) for write in measured.values())
        cheap = (tell(part) for tell in _CHEAP.values())
        shown.add_row(Text(part.name), *changes, *cheap)
    heading_text = Text(title(ranking, model), style="bold")
    return Group(heading_text, shown, *(Text(line) for line in notes(ranking)))


def _measured(ranking: Ranking) -> Mapping[str, Callable[[Change], str]]:
    """Columns of what is measured, which the whole network has too."""
    decimals = _decimals(one.change.loss.value for one in ranking.parts)
    return {
        "loss\nnats": lambda one: _signed(one.loss.value, decimals),
        "95 %\ninterval": lambda one: (
            f"{_signed(one.loss.low, decimals)} to {_signed(one.loss.high, decimals)}"
        ),
        "acc.\npp": lambda one: (
            MISSING if one.accuracy is None else _signed(100 * one.accuracy.value, 2)
        ),
        "same\nclass": lambda one: figures.share(one.agreement, 1),
    }


_CHEAP: Mapping[str, Callable[[Part], str]] = {
    "SQNR\ndB": lambda one: f"{one.alone_sqnr_db:.1f}",
    "in all\ndB": lambda one: f"{one.accumulated_sqnr_db:.1f}",
    "FIT": lambda one: f"{one.fit:.1e}",
}


def notes(ranking: Ranking) -> tuple[str, ...]:
    """Of what the figures are, how far the cheap measures agree, and warnings."""
    on, cheap = ranking.measured_on, ranking.cheap_on
    said = [
        f"loss: increase of {ranking.loss}, mean of {on.images} images of split {on.split}; "
        f"{ranking.float_loss:.4f} in float. Intervals are paired by image.",
        "acc., same class: change of accuracy, and images that get the float network's class. "
        "SQNR: at the output, from this alone, and with all before it quantized (in all). "
        f"SQNR and FIT are of at most {cheap.images} images of split {cheap.split}.",
    ]
    for name, rho in ranking.rank_correlation.items():
        if rho is not None:
            said.append(
                f"{name} ranks as the measured loss does with Spearman's rho {rho.value:.2f} "
                f"({rho.low:.2f} to {rho.high:.2f})."
            )
    return (*said, *(f"Warning: {text}" for text in ranking.warnings))


def _decimals(values: Iterable[float]) -> int:
    largest = max((abs(value) for value in values), default=0.0)
    magnitude = math.floor(math.log10(largest)) if largest else 0
    return min(8, max(2, _DIGITS - magnitude))


def _signed(value: float, decimals: int) -> str:
    """With a true minus; what rounds to zero has no sign."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if not float(text) else text.replace("-", "\u2212")
