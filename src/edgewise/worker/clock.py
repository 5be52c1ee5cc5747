"""Warm-up until it is stable, then the steady loop; every sample is kept."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .job import Protocol

_STABLE = 0.02  # two windows' medians within this share of each other

Step = Callable[[], object]


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up went: runs, seconds, and whether its last two windows agreed."""

    count: int
    seconds: float
    stable: bool


@dataclass(frozen=True)
class Steady:
    """The measured loop.

    samples: seconds of each run, float64 (n,); seconds: of the whole loop by the wall clock;
    cpu_s: CPU seconds of the process in it, all threads; complete: samples and seconds of the
    protocol were reached before its cap.
    """

    samples: NDArray[np.float64]
    seconds: float
    cpu_s: float
    complete: bool


def once(step: Step) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def warm_up(step: Step, protocol: Protocol) -> WarmUp:
    """Run until count, time and stability are reached, or the cap.

    A window holds half the count and half the time, so two windows that agree are all three.
    """
    start = time.perf_counter()
    end = start + protocol.warm_up_cap_s
    medians: list[float] = []
    count, stable = 0, False
    while not stable and time.perf_counter() < end:
        window = _window(step, (protocol.warm_up_count + 1) // 2, protocol.warm_up_s / 2, end)
        count += len(window)
        medians.append(float(np.median(window)))
        whole = time.perf_counter() < end
        stable = whole and len(medians) > 1 and _agree(medians[-2], medians[-1])
    return WarmUp(count, time.perf_counter() - start, stable)


def steady(step: Step, protocol: Protocol) -> Steady:
    """Measure until one round's samples and seconds are reached, or its cap."""
    with _no_collection():
        cpu, start = time.process_time(), time.perf_counter()
        cap = start + protocol.round_cap_s
        samples = _window(step, protocol.round_samples, protocol.round_seconds, cap)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    complete = len(samples) >= protocol.round_samples and seconds >= protocol.round_seconds
    return Steady(np.asarray(samples, np.float64), seconds, cpu_s, complete)


def _window(step: Step, count: int, seconds: float, end: float) -> list[float]:
    """Samples until there are `count` and `seconds` are over, or the clock shows `end`."""
    clock = time.perf_counter
    samples: list[float] = []
    until = clock() + seconds
    while True:
        start = clock()
        step()
        stop = clock()
        samples.append(stop - start)
        if stop >= end or (len(samples) >= count and stop >= until):
            return samples


def _agree(one: float, other: float) -> bool:
    return abs(one - other) <= _STABLE * min(one, other)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's garbage collector is not what is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
