"""What edgewise promises of a detector, judged from the figures alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.promises import Verdict, as_fast, faster_than_float
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
            faster_than_float(self.speed_up, self.features, LEAST_SPEED_UP),
            as_fast("int8 in ONNX Runtime: never slower than its own quantizer's or NNCF's",
                    self.same_runtime),
            as_fast("best of ours: as fast as NNCF in OpenVINO",
                    {} if self.native is None else {f"NNCF, by {self.best}": self.native}),
            as_fast("one region on integers: not slower than float32", self.parts),
            *sizes(self.ours),
            *executions(self.ours),
        ]  # fmt: skip


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
