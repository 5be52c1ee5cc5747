"""Jobs for the worker on a device: files go there, a process of its own runs, it answers."""

import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise import store, worker
from edgewise.data.preprocess import Stored
from edgewise.devices.device import Device
from edgewise.errors import DeviceError, StorageError, UsageError
from edgewise.worker.job import Job
from edgewise.worker.packed import SUFFIX

INPUTS, OUTPUT = "inputs.npz", "output.npy"  # what a job reads and writes there
START_S = 600.0  # for Python, the runtime and the model; an old board takes minutes

_WORKER = "edgewise_worker"
_JOB = "job.json"


@dataclass(frozen=True)
class Variant:
    """An artifact to measure. runtime: the worker's name of what runs it."""

    name: str
    artifact: Path
    runtime: str = "onnxruntime"


def check(variants: Sequence[Variant]) -> None:
    """Raises UsageError for artifacts that cannot be told apart or are absent."""
    names = [one.name for one in variants]
    if not names:
        raise UsageError("there is nothing to measure; name at least one artifact.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two artifacts are named '{twice}'; give each its own name.")
    for one in variants:
        if not one.artifact.is_file():
            raise UsageError(f"there is no artifact {one.artifact}; give the path of its file.")


def send_worker(device: Device) -> None:
    """Put the worker there."""
    assert worker.__file__ is not None
    device.put(Path(worker.__file__).parent, _WORKER)


def place(device: Device, variant: Variant, index: int) -> Job:
    """Send the artifact; a job that names it."""
    count = 2 if variant.artifact.suffix == SUFFIX else 1
    suffix = "".join(variant.artifact.suffixes[-count:])
    suffix = suffix if suffix.isascii() else ""
    name = f"artifact-{index}{suffix}"
    device.put(variant.artifact, name)
    digest = store.digest_file(variant.artifact)
    return Job("facts", variant.runtime, name, digest)


def send_images(device: Device, images: Stored) -> None:
    """Put images there, for the next jobs that read INPUTS."""
    content = io.BytesIO()
    np.savez(content, images=images)
    _send(device, content.getvalue(), INPUTS)


def fetch(device: Device) -> NDArray[Any]:
    """The array that the last job wrote; raises DeviceError where it is none."""
    with _scratch() as folder:
        path = folder / OUTPUT
        device.get(OUTPUT, path)
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DeviceError(f"{device.url}: the worker's file is no array: {error}.") from error
    return array


def work(device: Device, job: Job, about: str, timeout_s: float) -> dict[str, Any]:
    """One process of the worker; raises DeviceError with its own words when it could not."""
    _send(device, json.dumps(job.to_json()).encode(), _JOB)
    printed = device.run(("-m", _WORKER, _JOB), timeout_s)
    try:
        answer = json.loads(printed)
    except ValueError as error:
        raise DeviceError(
            f"{device.url}: the worker's answer is no JSON but {printed[:200]!r}."
        ) from error
    if not isinstance(answer, dict) or "error" in answer:
        said = answer["error"] if isinstance(answer, dict) else f"{answer!r} is no answer."
        raise DeviceError(f"{device.url}, {job.mode} of {about}: {said}")
    if job.digest and answer.get("digest") != job.digest:
        raise DeviceError(f"{device.url}: the worker did not confirm the SHA-256 of {about}.")
    return answer


def probe(device: Device) -> dict[str, Any]:
    """The worker's report of the device: machine, state, runtimes, and which are missing."""
    send_worker(device)
    return work(device, Job("facts"), "facts", START_S)


def _send(device: Device, content: bytes, name: str) -> None:
    with _scratch() as folder:
        path = folder / name
        path.write_bytes(content)
        device.put(path, name)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of the host for what goes to a device and comes back."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
            yield Path(folder)
    except OSError as error:
        raise StorageError(
            f"the temporary folder cannot be used: {error}. Free some space or set TMPDIR."
        ) from error
