"""Measure artifacts on a device, interleaved, each time in a fresh process.

The device times with its own clock (edgewise.worker); this side sends files and jobs.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.preprocess import Preprocessing, Stored
from edgewise.devices.device import Device
from edgewise.dispatch import (
    INPUTS,
    OUTPUT,
    START_S,
    Variant,
    check,
    fetch,
    place,
    send_images,
    send_worker,
    work,
)
from edgewise.errors import DeviceError
from edgewise.progress import Progress
from edgewise.series.measurement import Measurement, Memory, Round
from edgewise.series.series import Series
from edgewise.worker.job import Job, Protocol

FULL = Protocol("full", samples=1000, seconds=60, cap_s=3600,
                warm_up_count=20, warm_up_s=1, warm_up_cap_s=30)  # fmt: skip
QUICK = Protocol("quick", samples=300, seconds=1.5, cap_s=6,
                 warm_up_count=10, warm_up_s=0.2, warm_up_cap_s=3)  # fmt: skip


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
    check(variants)
    send_worker(device)
    if inputs is not None:
        send_images(device, inputs.images)
    jobs = [
        replace(place(device, one, index), protocol=protocol, **_fed(inputs))
        for index, one in enumerate(variants)
    ]
    timeout_s = START_S + protocol.warm_up_cap_s + protocol.round_cap_s
    order = schedule(len(variants), protocol)
    stage, total = f"measuring on {device.url}", len(order) + len(variants)
    answers: list[list[_Timed]] = [[] for _ in variants]
    for done, index in enumerate(order):
        progress(stage, done, total)
        job = replace(jobs[index], mode="latency", output=OUTPUT)
        answer = work(device, job, variants[index].name, timeout_s)
        answers[index].append(_Timed(answer, fetch(device)))
    memories = []
    for index, one in enumerate(variants):
        progress(stage, len(order) + index, total)
        memories.append(work(device, replace(jobs[index], mode="memory"), one.name, timeout_s))
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


def _fed(inputs: Inputs | None) -> dict[str, Any]:
    if inputs is None:
        return {}
    return {"images": INPUTS, "contract": inputs.contract.to_json()}


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
