"""A device that is a function: for tests of whatever measures, with no process and no runtime."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from edgewise.devices.device import Device, checked_name
from edgewise.errors import DeviceError

# The job as the worker would read it, and the working folder -> the answer as it would print it.
Respond = Callable[[Mapping[str, Any], Path], Mapping[str, Any]]

_MACHINE = {
    "hostname": "fake",
    "architecture": "aarch64",
    "cpu": "implementer 0x41 part 0xd08",
    "board": "Fake Board",
    "features": ["asimd"],
    "cores": 4,
    "memory_bytes": 4_000_000_000,
    "system": "none",
    "kernel": "0",
    "governor": "ondemand",
    "python": "3.11.2",
    "numpy": "2.0.0",
}
_STATE = {
    "frequency_hz": 1_500_000_000,
    "temperature_c": 50.0,
    "throttled": False,
    "throttle_events": None,
    "load_average": 0.1,
    "memory_available_bytes": 3_000_000_000,
    "affinity": [0, 1, 2, 3],
}
_VERSION = "1.0.0"


@final
class FakeDevice(Device):
    """Answers jobs by calling `respond`; keeps the jobs that it was given in `jobs`."""

    url = "fake"

    def __init__(self, respond: Respond) -> None:
        self.jobs: list[Mapping[str, Any]] = []
        self._respond = respond
        self._folder = Path(tempfile.mkdtemp(prefix="edgewise-fake-"))

    def put(self, source: Path, name: str) -> None:
        if source.is_file():  # the worker's folder has no one to run it
            shutil.copyfile(source, self._folder / checked_name(name))

    def run(self, arguments: Sequence[str], timeout_s: float) -> str:
        job = json.loads((self._folder / checked_name(arguments[-1])).read_bytes())
        self.jobs.append(job)
        return json.dumps(self._respond(job, self._folder)) + "\n"

    def get(self, name: str, destination: Path) -> None:
        try:
            shutil.copyfile(self._folder / checked_name(name), destination)
        except OSError as error:
            raise DeviceError(f"fake: {name} cannot be fetched: {error}.") from error

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def steady(latency_s: Mapping[str, float], noise: float = 0.01) -> Respond:
    """Answers of a device that is always the same.

    latency_s: digest of an artifact -> its median; noise: standard deviation of the samples'
    logarithm. Evaluation gives ten zeros an image.
    """
    draw = np.random.default_rng(0)

    def respond(job: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        answer = {"mode": job["mode"], "modules": ["numpy"]}
        if job["mode"] == "facts":
            runtimes = {"onnxruntime": _VERSION}
            facts = {"machine": _MACHINE, "state": _STATE, "runtimes": runtimes, "missing": {}}
            return {**answer, **facts}
        answer["digest"] = job["digest"]
        if job["mode"] == "memory":
            return {**answer, "peak_bytes": 60_000_000, "runtime_bytes": 40_000_000, "method": "-"}
        machine = {**_MACHINE, "runtime": job["runtime"], "runtime_version": _VERSION}
        if job["mode"] == "evaluate":
            with np.load(folder / job["images"]) as archive:
                count = len(archive["images"])
            np.save(folder / job["output"], np.zeros((count, 10), np.float32))
            outputs = {"outputs": ["output"], "shapes": [[10]]}
            return {**answer, **outputs, "images": count, "machine": machine}
        wanted = -(-job["protocol"]["samples"] // job["protocol"]["rounds"])
        latency = latency_s[job["digest"]]
        samples = latency * np.exp(noise * draw.standard_normal(wanted))
        np.save(folder / job["output"], samples)
        return {**answer, **_timing(latency, wanted), "machine": machine}

    return respond


def _timing(latency_s: float, samples: int) -> dict[str, Any]:
    return {
        "samples": samples,
        "load_s": 10 * latency_s,
        "first_s": 2 * latency_s,
        "warm_up": {"count": 10, "seconds": 10 * latency_s, "stable": True},
        "complete": True,
        "cpu_share": 1.0,
        "before": _STATE,
        "after": _STATE,
    }
