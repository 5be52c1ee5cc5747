"""Verdicts follow from the figures, on both sides of every limit."""

import pytest
from benchmarks.promises import Cost

from benchmarks import promises
from edgewise.stats import Interval


def cost(name: str, wall_s: float, peak_mb: float) -> Cost:
    return Cost(name, wall_s, peak_mb * 1e6)


@pytest.mark.parametrize(
    ("low", "value", "high", "holds"),
    [
        (0.97, 0.99, 1.01, True),
        (0.95, 0.97, 0.99, False),
        (1.2, 1.3, 1.5, True),
        (0.66, 0.84, 1.02, None),
        (0.9, 1.2, 1.5, None),
    ],
)
def test_a_tie_within_a_narrow_interval_is_as_fast(
    low: float, value: float, high: float, holds: bool | None
) -> None:
    ratios = {"slow": Interval(2.0, 1.9, 2.1), "fast": Interval(value, low, high)}
    verdict = promises.faster_than_peers(ratios)
    assert verdict.holds is holds
    assert "fast" in verdict.figures
    assert "slow" not in verdict.figures


def test_one_that_is_faster_fails_it_whatever_else_is_vague() -> None:
    vague, faster = Interval(0.9, 0.5, 1.3), Interval(0.98, 0.97, 0.99)
    assert promises.as_fast("p", {"a": vague, "b": faster}).holds is False
    assert promises.as_fast("p", {"a": vague, "b": Interval(1.2, 1.1, 1.3)}).holds is None


def test_without_peers_nothing_is_judged() -> None:
    assert promises.faster_than_peers({}).word == "NOT JUDGED"
    unknown = promises.less_than(cost("ours", 1, 1), None, "a peer")
    assert [one.holds for one in unknown] == [None, None]
    assert promises.near_minmax(cost("ours", 1, 1), []).holds is None


def test_speed_up_is_judged_only_where_it_was_promised() -> None:
    fast, slow = Interval(3.6, 3.4, 3.8), Interval(3.4, 3.3, 3.6)
    assert promises.faster_than_float(fast, ["avx512_vnni"]).holds is True
    assert promises.faster_than_float(slow, ["avx512_vnni"]).holds is False
    assert promises.faster_than_float(fast, ["avx2"]).holds is None


def test_time_and_memory_are_judged_apart() -> None:
    time, memory = promises.less_than(cost("ours", 4.0, 499), cost("peer", 3.0, 500), "peer")
    assert (time.holds, memory.holds) == (False, True)
    time, memory = promises.less_than(cost("ours", 2.9, 500), cost("peer", 3.0, 500), "peer")
    assert (time.holds, memory.holds) == (True, False)
    assert all("peer" in one.promise for one in (time, memory))


@pytest.mark.parametrize(("wall_s", "holds"), [(3.9, True), (4.1, False)])
def test_four_times_the_faster_minmax(wall_s: float, holds: bool) -> None:
    peers = [cost("u8", 1.0, 1), cost("s8", 2.0, 1)]
    assert promises.near_minmax(cost("ours", wall_s, 1), peers).holds is holds


def test_the_limit_holds_for_the_largest_process() -> None:
    assert promises.small_enough([cost("a", 1, 500), cost("b", 1, 899)]).holds is True
    assert promises.small_enough([cost("a", 1, 901), cost("b", 1, 500)]).holds is False


@pytest.mark.parametrize(("many", "holds"), [(1040, True), (1060, False), (940, False)])
def test_memory_may_not_grow_with_the_images(many: float, holds: bool) -> None:
    assert promises.memory_stays(cost("few", 1, 1000), cost("many", 1, many)).holds is holds
