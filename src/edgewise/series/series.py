"""Measurements of one run on one device, and how far they can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from edgewise import stats, units
from edgewise.errors import MeasurementError, StorageError
from edgewise.series.measurement import Measurement, Memory, Round, check_comparable
from edgewise.stats import Interval, Samples
from edgewise.worker.job import Protocol, WorkerError, protocol_from_json

DRIFT = 0.05  # medians of the baseline that differ by more make a series doubtful
_BUSY = 0.5  # load beyond the measurement's own, in cores, that disturbs
_ROUND_FACTS = tuple(field.name for field in fields(Round) if field.name != "samples")


@dataclass(frozen=True)
class Series:
    """Measurements that were interleaved on one device; the first is the baseline.

    condition: "as-shipped", or "controlled" where clocks were fixed for it. The baseline has one
    round more than the others, so that each of their rounds lies between two of its own.
    Raises MeasurementError for measurements that cannot be compared.
    """

    device: str
    condition: str
    measurements: tuple[Measurement, ...]

    def __post_init__(self) -> None:
        if not self.measurements:
            raise MeasurementError("a series holds no measurements.")
        if any(len(one.rounds) + 1 != len(self.baseline.rounds) for one in self.measurements[1:]):
            raise MeasurementError("the baseline of a series needs one round more than the others.")
        check_comparable(self.measurements)

    @property
    def baseline(self) -> Measurement:
        return self.measurements[0]

    @property
    def protocol(self) -> Protocol:
        return self.baseline.protocol

    @property
    def mode(self) -> str:
        """ "quick" or "full"; shown wherever a figure of this series is shown."""
        return self.protocol.label

    def speed_up(self, measurement: Measurement) -> Interval:
        """How many times faster than the baseline, by medians paired by round."""
        if measurement is self.baseline:
            return Interval(1.0, 1.0, 1.0)
        before = [one.samples for one in self.baseline.rounds]
        return stats.speed_up(
            before, [one.samples for one in measurement.rounds], self.protocol.seed
        )

    @property
    def drift(self) -> float:
        """How far the medians of the baseline's rounds lie apart, as a share of the smallest."""
        medians = [stats.quantile(one.samples, 0.5) for one in self.baseline.rounds]
        return max(medians) / min(medians) - 1

    @property
    def drifted(self) -> bool:
        """The machine changed while it measured: figures of this series are doubtful."""
        return self.drift > DRIFT

    def remarks(self) -> tuple[str, ...]:
        """What a reader has to know before believing the figures, a sentence each."""
        found = []
        if self.drifted:
            found.append(
                f"The baseline itself drifted by {units.percent(self.drift, 1)} during the series "
                f"(limit {units.percent(DRIFT, 0)}): the machine was not steady; measure again."
            )
        states = [(each.before, each.after) for one in self.measurements for each in one.rounds]
        if any(_slowed(before, after) for before, after in states):
            found.append("The processor was throttled; cool the device and measure again.")
        load = max(before.get("load_average") or 0.0 for before, _ in states)
        # The measurement's own threads are load, and one core may be left to the system.
        if load > max(self.protocol.threads, self.baseline.machine["cores"] - 1) + _BUSY:
            found.append(
                f"Other programs kept the machine busy (load up to {load:.1f} on "
                f"{self.baseline.machine['cores']} cores); stop them and measure again."
            )
        for one in self.measurements:
            found += [f"{one.name}: {text}" for text in _remarks(one)]
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Everything but the samples; statistics are there for readers, and derived again here."""
        return {
            "device": self.device,
            "mode": self.mode,
            "condition": self.condition,
            "protocol": {**asdict(self.protocol), "cores": list(self.protocol.cores)},
            "drift": self.drift,
            "drifted": self.drifted,
            "remarks": list(self.remarks()),
            "measurements": [
                {**_to_json(one), "speed_up": asdict(self.speed_up(one))}
                for one in self.measurements
            ],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], samples: Sequence[Samples]) -> "Series":
        """The series in `value`, with each measurement's samples (all rounds, joined).

        Raises StorageError when they are not what `to_json` gave.
        """
        try:
            protocol = protocol_from_json(value["protocol"])
            measurements = tuple(
                _from_json(entry, raw, protocol)
                for entry, raw in zip(value["measurements"], samples, strict=True)
            )
            return Series(value["device"], value["condition"], measurements)
        except (KeyError, TypeError, ValueError, WorkerError) as error:
            raise StorageError(f"not a series of measurements: {error!r}.") from error


def _remarks(one: Measurement) -> list[str]:
    found = []
    if unstable := sum(not each.stable for each in one.rounds):
        found.append(f"warm-up ended unstable in {unstable} of {len(one.rounds)} rounds.")
    if cut := sum(not each.complete for each in one.rounds):
        found.append(f"{cut} of {len(one.rounds)} rounds ended at the time limit.")
    return found


def _slowed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    events = before.get("throttle_events"), after.get("throttle_events")
    return bool(before.get("throttled") or after.get("throttled")) or events[0] != events[1]


def _to_json(one: Measurement) -> dict[str, Any]:
    return {
        "name": one.name,
        "runtime": one.runtime,
        "digest": one.digest,
        "size_bytes": one.size_bytes,
        "machine": dict(one.machine),
        "memory": {**asdict(one.memory), "own_bytes": one.memory.own_bytes},
        "load_s": one.load_s,
        "first_s": one.first_s,
        "cpu_share": one.cpu_share,
        "statistics": asdict(one.statistics),
        "rounds": [
            {"samples": len(each.samples), **{name: getattr(each, name) for name in _ROUND_FACTS}}
            for each in one.rounds
        ],
    }


def _from_json(value: Mapping[str, Any], raw: Samples, protocol: Protocol) -> Measurement:
    counts = [int(each["samples"]) for each in value["rounds"]]
    if raw.ndim != 1 or sum(counts) != len(raw) or min(counts, default=0) < 1:
        raise ValueError(f"rounds of {counts} samples and an array of shape {raw.shape}")
    parts = np.split(raw.astype(np.float64), np.cumsum(counts)[:-1])
    rounds = tuple(
        Round(part, **{name: each[name] for name in _ROUND_FACTS})
        for part, each in zip(parts, value["rounds"], strict=True)
    )
    memory = value["memory"]
    return Measurement(
        name=value["name"],
        runtime=value["runtime"],
        digest=value["digest"],
        size_bytes=value["size_bytes"],
        protocol=protocol,
        machine=value["machine"],
        memory=Memory(memory["peak_bytes"], memory["runtime_bytes"], memory["method"]),
        rounds=rounds,
    )
