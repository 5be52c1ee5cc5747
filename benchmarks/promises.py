"""What edgewise promises beside its peers, judged from the figures alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise import units
from edgewise.stats import Interval

LEAST_SPEED_UP = 3.5
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


def faster_than_peers(ratios: dict[str, Interval]) -> Verdict:
    """ratios: peer's int8 artifact -> its median latency over ours."""
    promise = "int8 latency: at least as fast as the fastest peer"
    if not ratios:
        return Verdict(promise, None, "no peer was measured")
    name, least = min(ratios.items(), key=lambda item: item[1].value)
    shown = f"{least.value:.3f}x [{least.low:.3f}, {least.high:.3f}] against {name}"
    return Verdict(promise, least.high >= 1.0, shown)


def faster_than_float(speed_up: Interval, features: Sequence[str]) -> Verdict:
    """features: the processor's; the promise is for those with int8 dot products of 512 bits."""
    promise = f"int8 latency: at least {LEAST_SPEED_UP}x float32, with AVX512-VNNI"
    shown = f"{speed_up.value:.2f}x [{speed_up.low:.2f}, {speed_up.high:.2f}]"
    if "avx512_vnni" not in features:
        return Verdict(promise, None, f"{shown}, on a processor without AVX512-VNNI")
    return Verdict(promise, speed_up.value >= LEAST_SPEED_UP, shown)


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
