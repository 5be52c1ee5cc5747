"""What edgewise promises beside its peers, judged from the figures alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewise import units
from edgewise.stats import Interval

LEAST_SPEED_UP = 3.5
WIDEST_TIE = 0.1  # of a ratio: a wider interval around 1 says nothing
MOST_TIMES_MINMAX = 4.0
MOST_BYTES = 900e6
MOST_GROWTH = 0.05


@dataclass(frozen=True)
class Verdict:
    """A promise, whether it holds (None: it could not be judged), and the figures that say so."""

    promise: str
    holds: bool | None
    figures: str

    @property
    def word(self) -> str:
        if self.holds is None:
            return "NOT JUDGED"
        return "PASS" if self.holds else "FAIL"


def faster_than_peers(ratios: Mapping[str, Interval]) -> Verdict:
    """ratios: peer's int8 artifact -> its median latency over ours."""
    return as_fast("int8 latency: at least as fast as the fastest peer", ratios)


def as_fast(promise: str, ratios: Mapping[str, Interval]) -> Verdict:
    """ratios: name -> another's latency over ours; each has to hold, and the least is shown.

    A tie is as fast, where the interval around it is narrow enough to be called one.
    """
    if not ratios:
        return Verdict(promise, None, "none was measured")
    name, least = min(ratios.items(), key=lambda item: item[1].value)
    shown = f"{least.value:.3f}x [{least.low:.3f}, {least.high:.3f}] against {name}"
    if any(one.high < 1 for one in ratios.values()):
        return Verdict(promise, False, shown)
    vague = [name for name, one in ratios.items() if not _tells(one)]
    if vague:
        return Verdict(promise, None, f"{shown}; too wide to tell: {', '.join(vague)}")
    return Verdict(promise, True, shown)


def _tells(ratio: Interval) -> bool:
    return ratio.low >= 1 or ratio.high - ratio.low <= WIDEST_TIE * ratio.value


def faster_than_float(
    speed_up: Interval, features: Sequence[str], least: float = LEAST_SPEED_UP
) -> Verdict:
    """features: the processor's; the promise is for those with int8 dot products of 512 bits."""
    promise = f"int8 latency: at least {least}x float32, with AVX512-VNNI"
    shown = f"{speed_up.value:.2f}x [{speed_up.low:.2f}, {speed_up.high:.2f}]"
    if "avx512_vnni" not in features:
        return Verdict(promise, None, f"{shown}, on a processor without AVX512-VNNI")
    return Verdict(promise, speed_up.value >= least, shown)


@dataclass(frozen=True)
class Cost:
    """What a whole process of post-training quantization takes, medians."""

    name: str
    wall_s: float
    peak_bytes: float


def less_than(ours: Cost, peer: Cost | None, name: str) -> Sequence[Verdict]:
    """peer: what the quantizer of that name takes, None where it was not run."""
    time, memory = f"PTQ time: below {name}", f"PTQ peak memory: below {name}"
    if peer is None:
        return [Verdict(promise, None, f"{name} was not run") for promise in (time, memory)]
    seconds = f"{units.seconds(ours.wall_s)} against {units.seconds(peer.wall_s)}"
    sizes = f"{units.size(ours.peak_bytes)} against {units.size(peer.peak_bytes)}"
    return [
        Verdict(time, ours.wall_s < peer.wall_s, seconds),
        Verdict(memory, ours.peak_bytes < peer.peak_bytes, sizes),
    ]


def near_minmax(ours: Cost, minmax: Sequence[Cost]) -> Verdict:
    """minmax: ONNX Runtime's quantizer, which loads no torch."""
    promise = f"PTQ time: within {MOST_TIMES_MINMAX:.0f}x of ONNX Runtime's MinMax"
    if not minmax:
        return Verdict(promise, None, "ONNX Runtime's quantizer was not run")
    fastest = min(minmax, key=lambda cost: cost.wall_s)
    times = ours.wall_s / fastest.wall_s
    shown = f"{times:.2f}x: {units.seconds(ours.wall_s)} against {units.seconds(fastest.wall_s)}"
    return Verdict(promise, times <= MOST_TIMES_MINMAX, shown)


def small_enough(costs: Sequence[Cost]) -> Verdict:
    """costs: ours, verification included."""
    largest = max(costs, key=lambda cost: cost.peak_bytes)
    return Verdict(
        f"PTQ peak memory: under {units.size(MOST_BYTES)}",
        largest.peak_bytes < MOST_BYTES,
        f"{units.size(largest.peak_bytes)} ({largest.name})",
    )


def memory_stays(few: Cost, many: Cost) -> Verdict:
    """few, many: ours with 200 and with 2,000 images."""
    growth = many.peak_bytes / few.peak_bytes - 1
    return Verdict(
        f"PTQ peak memory: within {units.percent(MOST_GROWTH, 0)} from 200 to 2,000 images",
        abs(growth) <= MOST_GROWTH,
        f"{units.percent(growth, 1)}: {units.size(few.peak_bytes)} and "
        f"{units.size(many.peak_bytes)}",
    )
