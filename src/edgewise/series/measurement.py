"""One artifact on one device: raw samples kept, statistics derived from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edgewise import stats
from edgewise.errors import MeasurementError
from edgewise.stats import Interval, Samples
from edgewise.worker.job import Protocol

_P99_SAMPLES = 1000
_MACHINE = ("hostname", "architecture", "cpu", "governor")


@dataclass(frozen=True, eq=False)
class Round:
    """One fresh process.

    samples: seconds of every inference after the warm-up; load_s: of loading the artifact, its file
    in the page cache; first_s: of the first inference; stable: the warm-up's last two windows
    agreed; complete: the protocol's counts were reached before its cap; cpu_share: CPU seconds of
    all threads over wall seconds in the steady state; before, after: the machine's state.
    """

    samples: Samples
    load_s: float
    first_s: float
    warm_up_runs: int
    warm_up_s: float
    stable: bool
    complete: bool
    cpu_share: float
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process that only loads and runs, None where it was not measured."""

    peak_bytes: int | None
    runtime_bytes: int | None
    method: str

    @property
    def own_bytes(self) -> int | None:
        """The peak less what the runtime takes without a model."""
        if self.peak_bytes is None or self.runtime_bytes is None:
            return None
        return self.peak_bytes - self.runtime_bytes


@dataclass(frozen=True)
class Statistics:
    """Derived from the samples of all rounds; p99_s only where there are 1,000 of them."""

    count: int
    p50_s: Interval
    p90_s: Interval
    p95_s: Interval
    p99_s: Interval | None
    mean_s: Interval
    min_s: float
    mad_s: float


@dataclass(frozen=True)
class Measurement:
    """One artifact on one device. digest: its SHA-256, found on the device; machine: facts."""

    name: str
    runtime: str
    digest: str
    size_bytes: int
    protocol: Protocol
    machine: Mapping[str, Any]
    memory: Memory
    rounds: tuple[Round, ...]

    @property
    def samples(self) -> Samples:
        """Seconds of every inference, round after round."""
        return np.concatenate([one.samples for one in self.rounds])

    @cached_property
    def statistics(self) -> Statistics:
        rounds = [one.samples for one in self.rounds]
        pooled = self.samples
        p50, p90, p95, p99 = stats.quantiles(rounds, (0.5, 0.9, 0.95, 0.99), self.protocol.seed)
        return Statistics(
            count=len(pooled),
            p50_s=p50,
            p90_s=p90,
            p95_s=p95,
            p99_s=p99 if len(pooled) >= _P99_SAMPLES else None,
            mean_s=stats.mean(rounds, self.protocol.seed),
            min_s=float(pooled.min()),
            mad_s=stats.deviation(pooled),
        )

    @property
    def load_s(self) -> float:
        """Median over the rounds."""
        return float(np.median([one.load_s for one in self.rounds]))

    @property
    def first_s(self) -> float:
        """Median over the rounds."""
        return float(np.median([one.first_s for one in self.rounds]))

    @property
    def cpu_share(self) -> float:
        """Median over the rounds."""
        return float(np.median([one.cpu_share for one in self.rounds]))

    def checked_facts(self) -> dict[str, Any]:
        """What has to be equal before two measurements may stand side by side."""
        return {
            **{name: self.machine.get(name) for name in _MACHINE},
            f"version of {self.runtime}": self.machine.get("runtime_version"),
            "threads": self.protocol.threads,
            "cores": list(self.protocol.cores),
            "mode": self.protocol.label,
        }


def check_comparable(measurements: Sequence[Measurement]) -> None:
    """Raise MeasurementError when any checked fact differs between measurements."""
    seen: dict[str, tuple[Any, str]] = {}
    for one in measurements:
        for fact, value in one.checked_facts().items():
            known, name = seen.setdefault(fact, (value, one.name))
            if known != value:
                raise MeasurementError(
                    f"'{name}' and '{one.name}' cannot be compared: {fact} is {known} in one and "
                    f"{value} in the other; measure both in one run on one device."
                )
