"""What is asked of the worker: one JSON file, checked before anything is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

MODES = ("latency", "memory", "evaluate", "explain", "facts")


class WorkerError(Exception):
    """What the worker could not do, in a sentence that the host passes on."""


@dataclass(frozen=True)
class Protocol:
    """How latency is timed.

    label: "quick" or "full", shown wherever a figure from it is shown; rounds: fresh processes an
    artifact; threads: of the runtime; cores: the worker is pinned to these, none means where the
    system puts it; seed: of the order of artifacts and of random inputs.
    Each process warms up for at least warm_up_count runs and warm_up_s seconds and until two
    windows agree, at most warm_up_cap_s. samples and seconds are what an artifact has to reach,
    both, over all its rounds; cap_s ends it all the same.
    """

    label: str
    samples: int
    seconds: float
    cap_s: float
    warm_up_count: int
    warm_up_s: float
    warm_up_cap_s: float
    rounds: int = 5
    threads: int = 1
    seed: int = 0
    cores: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        least = {"samples": 1, "warm_up_count": 2, "rounds": 1, "threads": 1, "seed": 0}
        for name, value in asdict(self).items():
            if name in ("label", "cores"):
                continue
            if value < least.get(name, 0) or not math.isfinite(value):
                raise WorkerError(f"a protocol's {name} cannot be {value}.")

    @property
    def round_samples(self) -> int:
        """Samples that one process has to reach."""
        return math.ceil(self.samples / self.rounds)

    @property
    def round_seconds(self) -> float:
        """Seconds that one process has to measure."""
        return self.seconds / self.rounds

    @property
    def round_cap_s(self) -> float:
        """Seconds after which one process stops measuring."""
        return self.cap_s / self.rounds


@dataclass(frozen=True)
class Job:
    """One process of the worker.

    mode: one of MODES; runtime: a name in the worker's table; artifact, images, output: names of
    files in the working folder, empty for none; digest: the artifact's SHA-256 on the host;
    contract: the preprocessing contract of `images`; batch: images an inference in evaluation;
    decoder, suppression: how outputs become objects, so that these are stored and not the outputs.
    """

    mode: str
    runtime: str = ""
    artifact: str = ""
    digest: str = ""
    images: str = ""
    output: str = ""
    batch: int = 1
    contract: Mapping[str, Any] | None = None
    protocol: Protocol | None = None
    decoder: Mapping[str, Any] | None = None
    suppression: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise WorkerError(f"no mode '{self.mode}'; there are {', '.join(MODES)}.")
        if self.mode in ("latency", "memory") and self.protocol is None:
            raise WorkerError(f"mode {self.mode} needs a protocol.")
        if self.mode in ("evaluate", "explain") and not (self.images and self.output):
            raise WorkerError(f"mode {self.mode} needs images and an output name.")
        if self.mode == "latency" and not self.output:
            raise WorkerError("mode latency needs an output name.")
        if (self.decoder is None) != (self.suppression is None):
            raise WorkerError("objects are found by a decoder and a suppression, not by one alone.")
        if self.batch < 1:
            raise WorkerError(f"a batch cannot hold {self.batch} images.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> Job:
        """The job in `value`; raises WorkerError when it is not one."""
        given = _checked(Job, value)
        if given.get("protocol") is not None:
            given["protocol"] = protocol_from_json(given["protocol"])
        return Job(**given)


def protocol_from_json(value: Any) -> Protocol:
    """The protocol in `value`; raises WorkerError when it is not one."""
    given = _checked(Protocol, value)
    cores = given.get("cores", ())
    if not all(isinstance(core, int) and core >= 0 for core in cores):
        raise WorkerError(f"a protocol's cores are numbers of cores, not {cores}.")
    return Protocol(**{**given, "cores": tuple(cores)})


# By annotation, as text: what JSON has to bring. bool is an int to Python and to nobody else.
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "tuple[int, ...]": (list, tuple),
    "Mapping[str, Any] | None": (Mapping, type(None)),
    "Protocol | None": (Mapping, type(None)),
}


def _checked(kind: type[Job] | type[Protocol], value: Any) -> dict[str, Any]:
    what = kind.__name__.lower()
    if not isinstance(value, Mapping):
        raise WorkerError(f"a {what} is an object, not {type(value).__name__}.")
    known = {field.name: str(field.type) for field in fields(kind)}
    for name, content in value.items():
        if name not in known:
            raise WorkerError(f"a {what} has no '{name}'; host and worker differ in version.")
        if not isinstance(content, _TYPES[known[name]]) or isinstance(content, bool):
            raise WorkerError(f"a {what}'s {name} cannot be {content!r}.")
    try:
        kind(**value)
    except TypeError as error:
        raise WorkerError(f"not a {what}: {error}.") from error
    return dict(value)
