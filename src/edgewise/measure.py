"""Measure artifacts on a device, interleaved, each time in a fresh process; run images through one.

The device times with its own clock (edgewise.worker); this side sends files and jobs.
"""

import io
import json
import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise import store, worker
from edgewise.data.dataset import Split
from edgewise.data.preprocess import Floats, Preprocessing, Stored
from edgewise.devices.device import Device
from edgewise.errors import DeviceError, ExportError, StorageError, UsageError
from edgewise.progress import Progress
from edgewise.series.measurement import Measurement, Memory, Round
from edgewise.series.series import Series
from edgewise.worker.job import Job, Protocol
from edgewise.worker.packed import SUFFIX

FULL = Protocol("full", samples=1000, seconds=60, cap_s=3600,
                warm_up_count=20, warm_up_s=1, warm_up_cap_s=30)  # fmt: skip
QUICK = Protocol("quick", samples=300, seconds=1.5, cap_s=6,
                 warm_up_count=10, warm_up_s=0.2, warm_up_cap_s=3)  # fmt: skip

_WORKER = "edgewise_worker"
_JOB, _INPUTS, _OUTPUT = "job.json", "inputs.npz", "output.npy"
_START_S = 600.0  # for Python, the runtime and the model; an old board takes minutes
_IMAGE_S = 30.0  # at most, for one image in evaluation
_CHUNK = 2000  # images sent at a time
_CHUNK_BYTES = 64_000_000
_BATCH = 16


@dataclass(frozen=True)
class Variant:
    """An artifact to measure. runtime: the worker's name of what runs it."""

    name: str
    artifact: Path
    runtime: str = "onnxruntime"


@dataclass(frozen=True)
class Inputs:
    """Images that inference is timed on, in turn, and the contract that prepares them."""

    images: Stored
    contract: Preprocessing


def measure(
    variants: Sequence[Variant],
    device: Device,
    protocol: Protocol,
    progress: Progress,
    inputs: Inputs | None = None,
) -> Series:
    """Latency, memory and CPU share of the variants; the first is the baseline of the others.

    The baseline runs first, last and between any two rounds; in a round the others run in random
    order. Without inputs, seeded noise of the model's shape is fed. Raises UsageError for variants
    that cannot be told apart or are absent, DeviceError when the device or its worker fails.
    """
    _check(variants)
    device.put(_worker_folder(), _WORKER)
    if inputs is not None:
        _send_images(device, inputs.images)
    jobs = [
        replace(_place(device, one, index), protocol=protocol, **_fed(inputs))
        for index, one in enumerate(variants)
    ]
    timeout_s = _START_S + protocol.warm_up_cap_s + protocol.round_cap_s
    order = schedule(len(variants), protocol)
    stage, total = f"measuring on {device.url}", len(order) + len(variants)
    answers: list[list[_Timed]] = [[] for _ in variants]
    for done, index in enumerate(order):
        progress(stage, done, total)
        job = replace(jobs[index], mode="latency", output=_OUTPUT)
        answer = _work(device, job, variants[index].name, timeout_s)
        answers[index].append(_Timed(answer, _fetch(device)))
    memories = []
    for index, one in enumerate(variants):
        progress(stage, len(order) + index, total)
        memories.append(_work(device, replace(jobs[index], mode="memory"), one.name, timeout_s))
    progress(stage, total, total)
    measurements = (
        _measurement(one, job, timed, memory)
        for one, job, timed, memory in zip(variants, jobs, answers, memories, strict=True)
    )
    return Series(device.url, "as-shipped", tuple(measurements))


def schedule(count: int, protocol: Protocol) -> tuple[int, ...]:
    """Which variant runs when: 0, a shuffle of the others, 0, a shuffle, ..., 0."""
    draw = random.Random(protocol.seed)  # noqa: S311 - an order, not a secret
    order = [0]
    for _ in range(protocol.rounds):
        order += [*draw.sample(range(1, count), count - 1), 0]
    return tuple(order)


def run_artifact(
    device: Device,
    artifact: Path,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    runtime: str = "onnxruntime",
) -> Floats:
    """The artifact's first output for every image of the split, on the device: (n, ...) float32.

    See run_outputs.
    """
    return run_outputs(device, artifact, split, contract, progress, runtime)[0]


def run_outputs(
    device: Device,
    artifact: Path,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    runtime: str = "onnxruntime",
) -> tuple[Floats, ...]:
    """All outputs of the artifact for every image of the split, on the device: (n, ...) float32.

    Images go there in chunks, as stored pixels; the device prepares them by the same contract.
    Raises ExportError, naming the first image, when an output is not finite.
    """
    variant = Variant(artifact.name, artifact, runtime)
    _check([variant])
    device.put(_worker_folder(), _WORKER)
    job = replace(_place(device, variant, 0), mode="evaluate", output=_OUTPUT, batch=_BATCH,
                  images=_INPUTS, contract=contract.to_json())  # fmt: skip
    parts: list[tuple[Floats, ...]] = []
    stage, count = f"running {artifact.name} on {device.url}", len(split)
    for start, stop in _chunks(split):
        progress(stage, start, count)
        _send_images(device, split.images.read(start, stop))
        answer = _work(device, job, variant.name, _START_S + _IMAGE_S * (stop - start))
        rows = _fetch(device)
        if len(rows) != stop - start:
            raise DeviceError(
                f"{device.url}: {artifact.name} answered {stop - start} images with {len(rows)}."
            )
        wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(wrong):
            raise ExportError(
                f"{artifact.name} gives values that are not finite, first for image "
                f"{start + wrong[0]} of {split.name}; its weights or scales are not sound."
            )
        parts.append(_outputs(rows, answer, device))
    progress(stage, count, count)
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def _outputs(rows: NDArray[Any], answer: Mapping[str, Any], device: Device) -> tuple[Floats, ...]:
    """A row of values an image as the outputs that it is made of."""
    try:
        shapes = [tuple(int(size) for size in shape) for shape in answer["shapes"]]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(rows.astype(np.float32, copy=False), ends[:-1], axis=1)
        return tuple(
            part.reshape(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(f"{device.url}: the worker's outputs are not whole: {error}.") from error


def probe(device: Device) -> dict[str, Any]:
    """The worker's report of the device: machine, state, runtimes, and which are missing."""
    device.put(_worker_folder(), _WORKER)
    return _work(device, Job("facts"), "facts", _START_S)


def _check(variants: Sequence[Variant]) -> None:
    names = [one.name for one in variants]
    if not names:
        raise UsageError("there is nothing to measure; name at least one artifact.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two artifacts are named '{twice}'; give each its own name.")
    for one in variants:
        if not one.artifact.is_file():
            raise UsageError(f"there is no artifact {one.artifact}; give the path of its file.")


def _worker_folder() -> Path:
    assert worker.__file__ is not None
    return Path(worker.__file__).parent


def _place(device: Device, variant: Variant, index: int) -> Job:
    """Send the artifact; a job that names it."""
    count = 2 if variant.artifact.suffix == SUFFIX else 1
    suffix = "".join(variant.artifact.suffixes[-count:])
    suffix = suffix if suffix.isascii() else ""
    name = f"artifact-{index}{suffix}"
    device.put(variant.artifact, name)
    digest = store.digest_file(variant.artifact)
    return Job("facts", variant.runtime, name, digest)


def _fed(inputs: Inputs | None) -> dict[str, Any]:
    if inputs is None:
        return {}
    return {"images": _INPUTS, "contract": inputs.contract.to_json()}


def _send_images(device: Device, images: Stored) -> None:
    content = io.BytesIO()
    np.savez(content, images=images)
    _send(device, content.getvalue(), _INPUTS)


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


def _send(device: Device, content: bytes, name: str) -> None:
    with _scratch() as folder:
        path = folder / name
        path.write_bytes(content)
        device.put(path, name)


def _fetch(device: Device) -> NDArray[Any]:
    with _scratch() as folder:
        path = folder / _OUTPUT
        device.get(_OUTPUT, path)
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DeviceError(f"{device.url}: the worker's file is no array: {error}.") from error
    return array


def _work(device: Device, job: Job, about: str, timeout_s: float) -> dict[str, Any]:
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


@dataclass(frozen=True, eq=False)
class _Timed:
    """A latency job's answer and its samples."""

    answer: Mapping[str, Any]
    samples: NDArray[Any]


def _measurement(
    variant: Variant, job: Job, timed: Sequence[_Timed], memory: Mapping[str, Any]
) -> Measurement:
    assert job.protocol is not None
    try:
        return Measurement(
            name=variant.name,
            runtime=variant.runtime,
            digest=job.digest,
            size_bytes=variant.artifact.stat().st_size,
            protocol=job.protocol,
            machine=timed[0].answer["machine"],
            memory=Memory(memory["peak_bytes"], memory["runtime_bytes"], memory["method"]),
            rounds=tuple(_round(one) for one in timed),
        )
    except KeyError as error:
        raise DeviceError(f"the worker's answer on {variant.name} lacks {error}.") from error


def _round(timed: _Timed) -> Round:
    answer = timed.answer
    return Round(
        samples=timed.samples.astype(np.float64, copy=False),
        load_s=answer["load_s"],
        first_s=answer["first_s"],
        warm_up_runs=answer["warm_up"]["count"],
        warm_up_s=answer["warm_up"]["seconds"],
        stable=answer["warm_up"]["stable"],
        complete=answer["complete"],
        cpu_share=answer["cpu_share"],
        before=answer["before"],
        after=answer["after"],
    )


def _chunks(split: Split) -> list[tuple[int, int]]:
    """Ranges of images that are few enough, and small enough, to send at once."""
    if not len(split):
        raise UsageError(f"split '{split.name}' holds no images to run.")
    size = max(1, min(_CHUNK, _CHUNK_BYTES // max(1, split.images.read(0, 1).nbytes)))
    return [(start, min(start + size, len(split))) for start in range(0, len(split), size)]
