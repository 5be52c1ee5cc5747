"""What the worker does: latency, memory, evaluation, facts."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import clock, detect, facts, images, packed
from .job import Job, Protocol, WorkerError
from .runtimes import RUNTIMES

_PACKAGES = {"litert": "ai-edge-litert"}  # where pip knows it by another name

_INPUTS = 8  # random inputs in turn; data-dependent time shows
_MEMORY_RUNS = 5

Answer = dict[str, Any]


def perform(value: Any) -> Answer:
    """Do the job in `value`; raises WorkerError for what it cannot do."""
    job = Job.from_json(value)
    answer = _MODES[job.mode](job)
    return {**answer, "mode": job.mode, "modules": _imported()}


def latency(job: Job) -> Answer:
    """Load, first inference, warm-up and steady state, each by itself; samples to a file."""
    protocol = _protocol(job)
    digest = _digest(job)
    runtime = _runtime(job.runtime)
    _pin(protocol)
    before = facts.state()
    start = time.perf_counter()
    session = runtime.Session(_unpacked(job.artifact), protocol.threads)
    load_s = time.perf_counter() - start  # from the page cache: the digest has just read the file
    inputs = itertools.cycle(_inputs(job, session, _INPUTS))

    def step() -> None:
        session.run(next(inputs))

    first_s = clock.once(step)
    warm = clock.warm_up(step, protocol)
    steady = clock.steady(step, protocol)
    after = facts.state()
    np.save(job.output, steady.samples, allow_pickle=False)
    return {
        "digest": digest,
        "samples": len(steady.samples),
        "load_s": load_s,
        "first_s": first_s,
        "warm_up": asdict(warm),
        "complete": steady.complete,
        "cpu_share": steady.cpu_s / steady.seconds,
        "machine": {**facts.machine(), "runtime": job.runtime, "runtime_version": runtime.VERSION},
        "before": before,
        "after": after,
    }


def memory(job: Job) -> Answer:
    """Peak resident bytes of loading and running, and the runtime's own before it."""
    digest = _digest(job)
    runtime = _runtime(job.runtime)
    given = _given(job, 1)
    again = facts.reset_peak()
    start = facts.memory()
    session = runtime.Session(_unpacked(job.artifact), _protocol(job).threads)
    batch = _batches(session, given, 1)[0] if given is not None else _random(job, session, 1)[0]
    for _ in range(_MEMORY_RUNS):
        session.run(batch)
    end = facts.memory()
    if start is None or end is None:
        return {"digest": digest, "peak_bytes": None, "runtime_bytes": None,
                "method": "not measured: the system has no /proc/self/status"}  # fmt: skip
    return {
        "digest": digest,
        "peak_bytes": end["peak"],
        "runtime_bytes": start["now"] if again else start["peak"],
        "method": "peak resident memory (VmHWM) of a process of its own after "
        f"{_MEMORY_RUNS} inferences; the runtime's own is that before the model is loaded",
    }


def evaluate(job: Job) -> Answer:
    """All outputs for every image, to a file: a row of floats an image, output after output.

    With a decoder the objects found: rows of image, class, score, left, top, right, bottom.
    """
    return _evaluated(job)[0]


def explain(job: Job) -> Answer:
    """What evaluate does, and the operators that the runtime then has executed."""
    answer, session = _evaluated(job)
    operators = getattr(session, "operators", None)
    if operators is None:
        raise WorkerError(f"{job.runtime} does not tell which operators it executes.")
    return {**answer, "operators": operators()}


def _evaluated(job: Job) -> tuple[Answer, Any]:
    """The answer, and the session that gave it."""
    digest = _digest(job)
    runtime = _runtime(job.runtime)
    threads = job.protocol.threads if job.protocol else 1
    session = runtime.Session(_unpacked(job.artifact), threads)
    size = session.shape[0] or job.batch
    stored = images.load(job.images)
    parts = []
    for start in range(0, len(stored), size):
        batch = images.prepare(stored[start : start + size], job.contract)
        full = np.resize(batch, (size, *batch.shape[1:])) if session.shape[0] else batch
        outputs = [np.asarray(output) for output in session.run(session.feed(full))]
        shapes = [list(output.shape[1:]) for output in outputs]
        if job.decoder is None:
            parts.append(_rows(outputs, len(full))[: len(batch)])
        else:
            parts.append(_objects(job, outputs, start, len(batch)))
    np.save(job.output, np.concatenate(parts), allow_pickle=False)
    answer = {
        "digest": digest,
        "images": len(stored),
        "outputs": list(session.outputs),
        "shapes": shapes,
        "machine": {**facts.machine(), "runtime": job.runtime, "runtime_version": runtime.VERSION},
    }
    return answer, session


def _objects(job: Job, outputs: list[NDArray[Any]], first: int, count: int) -> NDArray[np.float32]:
    """What is found in the first `count` images of a batch, which begins with image `first`."""
    assert job.decoder is not None
    assert job.suppression is not None
    found = detect.detect(outputs, job.decoder, job.suppression)
    found = found[found[:, 0] < count]
    found[:, 0] += np.float32(first)
    return found


def _rows(outputs: list[NDArray[Any]], count: int) -> NDArray[np.float32]:
    """All outputs of every image in a row, (count, values)."""
    for output in outputs:
        if output.shape[:1] != (count,):
            raise WorkerError(
                f"{count} images give an output of shape {output.shape}; "
                "its first axis should be the images."
            )
    rows = [output.reshape(count, -1).astype(np.float32) for output in outputs]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def describe(job: Job) -> Answer:
    """The machine, its state, and which runtimes it has: a version, or why there is none."""
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in RUNTIMES:
        try:
            found[name] = _runtime(name).VERSION
        except WorkerError as error:
            missing[name] = str(error)
    return {"machine": facts.machine(), "state": facts.state(),
            "runtimes": found, "missing": missing}  # fmt: skip


_MODES: Mapping[str, Callable[[Job], Answer]] = {
    "latency": latency,
    "memory": memory,
    "evaluate": evaluate,
    "explain": explain,
    "facts": describe,
}


def _imported() -> list[str]:
    """What was imported beside the standard library (Python 3.9 does not know what that is)."""
    standard = {"__main__", *getattr(sys, "stdlib_module_names", ())}
    found = {name.partition(".")[0] for name, module in sys.modules.items()
             if getattr(module, "__spec__", None)}  # fmt: skip
    return sorted(found - standard)


def _runtime(name: str) -> Any:
    if name not in RUNTIMES:
        raise WorkerError(f"no runtime '{name}'; the worker knows {', '.join(RUNTIMES)}.")
    try:
        return importlib.import_module(f".{RUNTIMES[name]}", __package__)
    except (ImportError, OSError) as error:
        raise WorkerError(
            f"{name} is not usable on this device: {error}. "
            f"Install it for {sys.executable}, as in `python3 -m pip install "
            f"{_PACKAGES.get(name, name)}`."
        ) from error


def _unpacked(path: str) -> str:
    """The artifact as the runtime takes it; of a packed one, a file beside it."""
    if not path.endswith(packed.SUFFIX):
        return path
    with open(path, "rb") as handle:
        artifact = packed.unpack(handle.read())
    plain = path[: -len(packed.SUFFIX)]
    with open(plain, "wb") as handle:
        handle.write(artifact)
    return plain


def _protocol(job: Job) -> Protocol:
    assert job.protocol is not None  # Job refuses to be without one in these modes
    return job.protocol


def _digest(job: Job) -> str:
    content = hashlib.sha256()
    try:
        with open(job.artifact, "rb") as handle:
            while part := handle.read(1 << 20):
                content.update(part)
    except OSError as error:
        raise WorkerError(f"the artifact cannot be read: {error.strerror}.") from error
    found = content.hexdigest()
    if found != job.digest:
        raise WorkerError(
            f"the artifact here has SHA-256 {found[:12]} and the host's has {job.digest[:12]}; "
            "it was changed or cut short on its way: send it again."
        )
    return found


def _pin(protocol: Protocol) -> None:
    if not protocol.cores:
        return
    try:
        os.sched_setaffinity(0, protocol.cores)
    except (OSError, AttributeError) as error:
        raise WorkerError(f"cannot be pinned to cores {list(protocol.cores)}: {error}.") from error


def _inputs(job: Job, session: Any, count: int) -> list[NDArray[Any]]:
    """Batches of the model's own batch size: real images where given, seeded noise where not."""
    given = _given(job, None)
    if given is None:
        return _random(job, session, count)
    return _batches(session, given, len(given))


def _given(job: Job, limit: int | None) -> NDArray[np.float32] | None:
    if not job.images:
        return None
    return images.prepare(images.load(job.images)[:limit], job.contract)


def _batches(session: Any, prepared: NDArray[np.float32], count: int) -> list[NDArray[Any]]:
    size = session.shape[0] or 1
    rows = np.arange(count * size).reshape(count, size) % len(prepared)
    return [session.feed(prepared[row]) for row in rows]


def _random(job: Job, session: Any, count: int) -> list[NDArray[Any]]:
    shape = (session.shape[0] or 1, *session.shape[1:])
    if None in shape:
        raise WorkerError("the model leaves its input size open; measure it with images (--data).")
    draw = np.random.default_rng(_protocol(job).seed)
    return [session.feed(draw.standard_normal(shape, np.float32)) for _ in range(count)]
