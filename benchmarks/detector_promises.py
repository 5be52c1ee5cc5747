"""What edgewise promises of a detector, judged from the figures alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.promises import Verdict
from edgewise import units
from edgewise.stats import Interval

LEAST_SPEED_UP = 3.2
MOST_EXCESS = 0.01  # of the float file over its weights
MOST_SHARE = 0.254  # of the float file
OUTPUTS = 3


@dataclass(frozen=True)
class Figures:
    """What was found.

    speed_up: of our int8 artifact over our float one, both in ONNX Runtime; same_runtime: a peer's
    int8 artifact there -> its latency over ours; native: that of NNCF in OpenVINO over the best of
    ours, which `best` names; parts: artifact of one region -> latency of the float one in the same
    runtime over its own; ours: what was found when each was made, by "nothing", "all but outputs"
    and "all", each with the runtime.
    """

    speed_up: Interval
    features: Sequence[str]
    same_runtime: Mapping[str, Interval]
    native: Interval | None
    best: str
    parts: Mapping[str, Interval]
    ours: Mapping[tuple[str, str], Mapping[str, Any]]

    def verdicts(self) -> list[Verdict]:
        return [
            faster_than_float(self.speed_up, self.features),
            no_slower("int8 in ONNX Runtime: never slower than its own quantizer's or NNCF's",
                      self.same_runtime),
            no_slower("best of ours: as fast as NNCF in OpenVINO",
                      {} if self.native is None else {f"NNCF, by {self.best}": self.native}),
            no_slower("one region on integers: not slower than float32", self.parts),
            *sizes(self.ours),
            *executions(self.ours),
        ]  # fmt: skip


def faster_than_float(speed_up: Interval, features: Sequence[str]) -> Verdict:
    """features: the processor's; the promise is for those with int8 dot products of 512 bits."""
    promise = f"int8 in ONNX Runtime: at least {LEAST_SPEED_UP}x float32, with AVX512-VNNI"
    shown = f"{speed_up.value:.2f}x [{speed_up.low:.2f}, {speed_up.high:.2f}]"
    if "avx512_vnni" not in features:
        return Verdict(promise, None, f"{shown}, on a processor without AVX512-VNNI")
    return Verdict(promise, speed_up.value >= LEAST_SPEED_UP, shown)


def no_slower(promise: str, ratios: Mapping[str, Interval]) -> Verdict:
    """ratios: name -> another's latency over ours; a tie within the interval is as fast."""
    if not ratios:
        return Verdict(promise, None, "none was measured")
    name, least = min(ratios.items(), key=lambda item: item[1].value)
    shown = f"{least.value:.3f}x [{least.low:.3f}, {least.high:.3f}], least of all: {name}"
    return Verdict(promise, all(one.high >= 1 for one in ratios.values()), shown)


def sizes(ours: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[Verdict]:
    """Files of each runtime: the float one beside its weights, the int8 one beside the float."""
    for runtime in dict.fromkeys(runtime for _, runtime in ours):
        plain = ours["nothing", runtime]
        excess = plain["size_bytes"] / plain["weight_bytes"] - 1
        share = ours["all but outputs", runtime]["size_bytes"] / plain["size_bytes"]
        yield Verdict(
            f"float32 file, {runtime}: within {units.percent(MOST_EXCESS, 0)} of its weights",
            abs(excess) <= MOST_EXCESS,
            f"{excess:+.3%}",
        )
        yield Verdict(
            f"int8 file, {runtime}: at most {units.percent(MOST_SHARE)} of it",
            share <= MOST_SHARE,
            f"{share:.2%}",
        )


def executions(ours: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[Verdict]:
    """Which layers run in float, by the graph that the runtime executes."""
    for runtime in dict.fromkeys(runtime for _, runtime in ours):
        for part, most, which in (
            ("all but outputs", OUTPUTS, "all convolutions but the outputs'"),
            ("all", 0, "with integer outputs, all convolutions"),
        ):
            found = ours[part, runtime]
            left, count = found["float_layers"], found["in_float"]
            yield Verdict(
                f"on integers, {runtime}: {which}",
                count == most and all(name.endswith(".output") for name in left),
                f"{found['layers'] - count} of {found['layers']}"
                + (f", in float {', '.join(left)}" if left else ""),
            )
