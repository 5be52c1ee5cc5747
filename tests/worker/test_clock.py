import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from edgewise.worker import clock
from edgewise.worker.job import Protocol

PROTOCOL = Protocol("quick", samples=40, seconds=4.0, cap_s=1000.0,
                    warm_up_count=10, warm_up_s=2.0, warm_up_cap_s=50.0, rounds=1)  # fmt: skip


class Machine:
    """A clock that only work moves on."""

    def __init__(self, durations: Iterator[float], share: float = 1.0) -> None:
        self.now = 0.0
        self.cpu = 0.0
        self.taken: list[float] = []
        self._durations = durations
        self._share = share

    def step(self) -> None:
        duration = next(self._durations)
        self.taken.append(duration)
        self.now += duration
        self.cpu += self._share * duration


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[float]], Machine]:
    def start(durations: Iterator[float], share: float = 1.0) -> Machine:
        machine = Machine(durations, share)
        monkeypatch.setattr(time, "perf_counter", lambda: machine.now)
        monkeypatch.setattr(time, "process_time", lambda: machine.cpu)
        return machine

    return start


def forever(value: float) -> Iterator[float]:
    while True:
        yield value


def falling(start: float, floor: float, factor: float) -> Iterator[float]:
    while True:
        yield max(start, floor)
        start *= factor


On = Callable[..., Machine]


def test_warm_up_lasts_for_count_and_time(on: On) -> None:
    machine = on(forever(0.125))
    warm = clock.warm_up(machine.step, PROTOCOL)
    assert (warm.count, warm.seconds, warm.stable) == (16, 2.0, True)  # the time decides
    machine = on(forever(1.0))
    assert clock.warm_up(machine.step, PROTOCOL).count == 10  # the count decides


def test_warm_up_lasts_until_it_is_stable(on: On) -> None:
    machine = on(falling(4.0, 0.5, 0.9))
    warm = clock.warm_up(machine.step, replace(PROTOCOL, warm_up_cap_s=1e6))
    assert warm.stable
    assert set(machine.taken[-6:]) == {0.5}  # two windows could agree only at the floor


def test_warm_up_that_never_settles_ends_at_its_cap_and_says_so(on: On) -> None:
    machine = on(iter([1.0 * 1.1**index for index in range(200)]))
    warm = clock.warm_up(machine.step, PROTOCOL)
    assert not warm.stable
    assert warm.count == len(machine.taken)
    assert 50.0 <= warm.seconds <= 50.0 + machine.taken[-1]


def test_a_window_cut_by_the_cap_does_not_count_as_stable(on: On) -> None:
    machine = on(forever(9.0))
    assert not clock.warm_up(machine.step, PROTOCOL).stable  # 10 runs do not fit into 50 s


def test_steady_needs_samples_and_seconds(on: On) -> None:
    machine = on(forever(0.25))
    result = clock.steady(machine.step, PROTOCOL)
    assert (len(result.samples), result.seconds, result.complete) == (40, 10.0, True)
    machine = on(forever(0.0625))
    result = clock.steady(machine.step, PROTOCOL)
    assert (len(result.samples), result.seconds, result.complete) == (64, 4.0, True)


def test_every_sample_is_kept_outliers_too(on: On) -> None:
    machine = on(iter([0.25] * 20 + [64.0] + [0.25] * 19))
    assert clock.steady(machine.step, PROTOCOL).samples.tolist() == machine.taken


def test_steady_ends_at_its_cap_and_says_so(on: On) -> None:
    machine = on(forever(1.0))
    result = clock.steady(machine.step, replace(PROTOCOL, cap_s=20.0, rounds=2))
    assert (len(result.samples), result.complete) == (10, False)


def test_cpu_time_is_counted_beside_wall_time(on: On) -> None:
    result = clock.steady(on(forever(0.25), share=3.0).step, PROTOCOL)
    assert result.cpu_s == 3.0 * result.seconds


def test_the_collector_is_back_after_a_failure(on: On) -> None:
    machine = on(iter([]))
    with pytest.raises(StopIteration):
        clock.steady(machine.step, PROTOCOL)
    assert gc.isenabled()
