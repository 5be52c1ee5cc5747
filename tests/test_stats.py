import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgewise import stats
from edgewise.stats import Interval, Samples

few = settings(max_examples=30, deadline=None)  # each draws a thousand resamples

times = st.floats(1e-6, 10.0)
samples = hnp.arrays(np.float64, st.integers(1, 200), elements=times)
SHARES = (0.5, 0.9, 0.95, 0.99)


def autoregression(count: int, factor: float, draw: np.random.Generator) -> Samples:
    """x[t] = factor x[t-1] + noise, from its stationary state: median and mean 0."""
    noise = draw.standard_normal(count)
    noise[0] /= np.sqrt(1 - factor**2)
    for index in range(1, count):
        noise[index] += factor * noise[index - 1]
    return noise


@given(x=samples, share=st.sampled_from(SHARES))
def test_a_quantile_is_the_smallest_sample_that_covers_the_share(x: Samples, share: float) -> None:
    found = stats.quantile(x, share)
    assert found in x
    assert (x <= found).mean() >= share - 1e-9
    assert (x < found).mean() < share


@given(x=samples)
def test_deviation_is_the_median_distance_from_the_median(x: Samples) -> None:
    ordered = sorted(x)
    middle = ordered[(len(x) - 1) // 2]
    assert stats.deviation(x) == sorted(abs(v - middle) for v in ordered)[(len(x) - 1) // 2]


@few
@given(value=times, counts=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_constant_samples_leave_no_doubt(value: float, counts: list[int]) -> None:
    rounds = [np.full(count, value) for count in counts]
    for found in stats.quantiles(rounds, SHARES):
        assert found == Interval(value, value, value)
    mean = stats.mean(rounds)
    assert mean.low == pytest.approx(value)
    assert mean.high == pytest.approx(value)
    faster = stats.speed_up([*rounds, rounds[0]], [one / 4 for one in rounds])
    assert faster.low == pytest.approx(4)
    assert faster.high == pytest.approx(4)


@few
@given(rounds=st.lists(samples, min_size=1, max_size=4))
def test_intervals_hold_their_figure_and_lie_in_the_samples(rounds: list[Samples]) -> None:
    pooled = np.concatenate(rounds)
    found = stats.quantiles(rounds, SHARES)
    for share, one in zip(SHARES, found, strict=True):
        assert one.value == np.quantile(pooled, share, method="inverted_cdf")
        assert one.low <= one.value <= one.high
        if len(rounds) == 1:
            assert one.low in pooled
            assert one.high in pooled
    mean = stats.mean(rounds)
    assert mean.value == pytest.approx(pooled.mean())
    assert mean.low <= mean.value <= mean.high


@few
@given(x=samples, exponent=st.integers(-8, 8))
def test_another_unit_changes_nothing_but_the_unit(x: Samples, exponent: int) -> None:
    scale = 2.0**exponent
    for one, other in zip(
        stats.quantiles([x], SHARES), stats.quantiles([x * scale], SHARES), strict=True
    ):
        assert (other.value, other.low, other.high) == (
            one.value * scale,
            one.low * scale,
            one.high * scale,
        )


@few
@given(rounds=st.lists(samples, min_size=2, max_size=4))
def test_the_same_seed_gives_the_same_interval(rounds: list[Samples]) -> None:
    assert stats.quantiles(rounds, SHARES, 5) == stats.quantiles(rounds, SHARES, 5)
    assert stats.speed_up(rounds, rounds[1:], 5) == stats.speed_up(rounds, rounds[1:], 5)


@pytest.mark.parametrize("factor", [0.0, 0.6, 0.9])
def test_intervals_cover_the_truth_about_as_often_as_they_say(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "_RESAMPLES", 300)
    draw = np.random.default_rng(1)
    hits = np.zeros(2)
    trials = 150
    for trial in range(trials):
        x = autoregression(400, factor, draw)
        median = stats.quantiles([x], (0.5,), trial)[0]
        mean = stats.mean([x], trial)
        hits += [median.low <= 0 <= median.high, mean.low <= 0 <= mean.high]
    # 95 % is what is claimed; few correlated samples are known to give somewhat less.
    assert (hits / trials > 0.80).all()


def test_alike_neighbours_widen_the_interval() -> None:
    x = autoregression(1000, 0.9, np.random.default_rng(2))
    shuffled = np.random.default_rng(3).permutation(x)
    wide, narrow = (stats.quantiles([one], (0.5,))[0] for one in (x, shuffled))
    # Theory: sqrt((1 + 0.9) / (1 - 0.9)) = 4.4 for the mean.
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_rounds_that_differ_widen_the_interval() -> None:
    draw = np.random.default_rng(4)
    same = [1 + 0.01 * draw.standard_normal(100) for _ in range(5)]
    apart = [one + 0.1 * index for index, one in enumerate(same)]
    widths = [
        (found.high - found.low) for found in (stats.mean(same), stats.mean(apart))
    ]  # fmt: skip
    assert widths[1] > 0.1 > 10 * widths[0]


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9])
def test_correlation_time_is_found(factor: float) -> None:
    x = autoregression(20_000, factor, np.random.default_rng(5))
    # Of ranks, which are a little less alike than the values.
    assert stats.correlation_time(x) == pytest.approx((1 + factor) / (1 - factor), rel=0.25)


def test_one_outlier_does_not_hide_correlation() -> None:
    x = autoregression(2000, 0.9, np.random.default_rng(6))
    with_outlier = x.copy()
    with_outlier[1000] = 1e9
    assert stats.correlation_time(with_outlier) == pytest.approx(stats.correlation_time(x), rel=0.1)


@given(x=samples)
def test_blocks_are_few_enough_and_never_longer_than_the_samples(x: Samples) -> None:
    assert 1 <= stats.block_length(x) <= len(x)
    assert stats.correlation_time(x) >= 1


def test_many_samples_are_thinned_for_resampling_and_not_for_the_figure() -> None:
    x = np.random.default_rng(7).gamma(2, 1, 200_000)
    (found,) = stats.quantiles([x], (0.99,))
    assert found.value == np.quantile(x, 0.99, method="inverted_cdf")
    # Standard error of a quantile by its density: sqrt(q (1 - q) / n) / f(x).
    error = np.sqrt(0.99 * 0.01 / len(x)) / (found.value * np.exp(-found.value))
    assert 3 * error < found.high - found.low < 6 * error


@pytest.mark.parametrize("drift", [1.0, 1.03, 0.9])
def test_a_steady_drift_of_the_machine_cancels(drift: float) -> None:
    """Float and int8 run in turn while the machine gets slower by a factor a run."""
    rounds = 5
    before = [np.full(50, 8.0 * drift ** (2 * index)) for index in range(rounds + 1)]
    middle = [np.full(50, 2.0 * drift ** (2 * index + 1)) for index in range(rounds)]
    found = stats.speed_up(before, middle)
    assert found.value == pytest.approx(4.0)
    assert found.low == pytest.approx(4.0)
    assert found.high == pytest.approx(4.0)


@pytest.mark.parametrize("rounds", [3, 5])
@pytest.mark.parametrize("luck", [0.0, 0.05], ids=["alike", "luck"])
def test_intervals_cover_the_truth_when_every_process_has_its_own_luck(
    rounds: int, luck: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "_RESAMPLES", 300)
    draw = np.random.default_rng(8)
    hits, trials = np.zeros(2), 100
    for trial in range(trials):
        shifts = np.exp(luck * draw.standard_normal(2 * rounds + 1))
        runs = [shift * np.exp(0.02 * draw.standard_normal(60)) for shift in shifts]
        ratio = stats.speed_up([3 * one for one in runs[::2]], runs[1::2], trial)
        (median,) = stats.quantiles(runs[1::2], (0.5,), trial)
        hits += [ratio.low <= 3 <= ratio.high, median.low <= 1 <= median.high]
    assert (hits / trials > 0.87).all(), hits


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (4, 2.776), (7, 2.3646), (10, 2.2281), (30, 2.0423)]
)
def test_students_quantile_is_the_tables(freedom: int, value: float) -> None:
    assert stats.student(freedom) == pytest.approx(value, abs=0.002)
