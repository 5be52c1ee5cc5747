from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.importance import intervals
from edgewise.importance.game import Game, Members, shapley_values
from edgewise.importance.permutations import Control, draw, marginals

PLAYERS = 6


def cubic(seed: int, third: float = 1.0) -> Game:
    """A random game of interactions of up to three players, with known range."""
    random = np.random.default_rng(seed)
    one, two = random.normal(size=PLAYERS), random.normal(size=(PLAYERS, PLAYERS))
    three = third * random.normal(size=(PLAYERS,) * 3)

    def value(members: Members) -> float:
        m = members.astype(float)
        return float(one @ m + m @ two @ m + np.einsum("ijk,i,j,k", three, m, m, m))

    return value


def drawn(game: Game, count: int, **how: object) -> np.ndarray:
    walk = partial(marginals, game)
    return np.array([draw(walk, PLAYERS, i, 3, **how) for i in range(count)])  # type: ignore[arg-type]


@given(seed=st.integers(0, 1000))
def test_every_single_draw_is_efficient(seed: int) -> None:
    game = cubic(seed)
    whole = game(np.ones(PLAYERS, bool)) - game(np.zeros(PLAYERS, bool))
    for antithetic in (False, True):
        sums = drawn(game, 3, antithetic=antithetic).sum(axis=1)
        assert np.allclose(sums, whole, rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 1000))
def test_pairs_are_exact_for_games_of_pairs(seed: int) -> None:
    game = cubic(seed, third=0.0)
    assert np.allclose(drawn(game, 1)[0], shapley_values(game, PLAYERS), rtol=1e-9, atol=1e-9)


def test_reversed_orders_and_a_control_game_take_variance_away() -> None:
    game = cubic(1, third=0.2)
    exact = shapley_values(game, PLAYERS)
    near = cubic(1, third=0.15)
    control = Control(partial(marginals, near), shapley_values(near, PLAYERS))
    plain = drawn(game, 400, antithetic=False)
    errors = [
        float(((draws - exact) ** 2).mean())
        for draws in (plain, drawn(game, 200), drawn(game, 400, antithetic=False, control=control))
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[0]
    for draws in (drawn(game, 200), drawn(game, 200, control=control)):
        spread = draws.std(axis=0) / np.sqrt(len(draws))
        assert np.all(np.abs(draws.mean(axis=0) - exact) < 5 * spread + 1e-9)


def test_a_draw_depends_on_its_number_and_seed_alone() -> None:
    walk = partial(marginals, cubic(0))
    once = [draw(walk, PLAYERS, i, 7) for i in range(4)]
    assert np.array_equal(once[3], draw(walk, PLAYERS, 3, 7))
    assert not np.array_equal(once[3], draw(walk, PLAYERS, 3, 8))


def test_truncation_stops_where_nothing_is_left_to_win_and_costs_no_more_than_it_says() -> None:
    def saturating(members: Members) -> float:
        calls.append(1)
        return 1 - 0.5 ** int(members.sum())

    order = np.arange(12)
    calls: list[int] = []
    exact = marginals(saturating, order)
    whole = len(calls)
    calls.clear()
    cut = marginals(saturating, order, tolerance=0.01)
    assert len(calls) < whole
    assert np.abs(cut - exact).max() < 0.01


def test_bernstein_intervals_hold_as_often_as_they_say_and_narrow() -> None:
    risk, held, trials = 0.1, 0, 150
    for trial in range(trials):
        game = cubic(trial)
        exact = shapley_values(game, PLAYERS)
        walk = partial(marginals, game)
        draws = np.array([draw(walk, PLAYERS, i, trial) for i in range(30)])
        reach = 2 * max(abs(game(np.array(bits, bool))) for bits in np.ndindex(*(2,) * PLAYERS))
        half = intervals.bernstein(draws, reach, risk)
        held += bool(np.all(np.abs(draws.mean(axis=0) - exact) <= half))
        fewer = intervals.bernstein(draws[:10], reach, risk)
        assert np.median(half / fewer) < 1
    assert held >= (1 - risk) * trials
    assert np.isinf(intervals.bernstein(draws[:1], reach)).all()


def test_bootstrap_intervals_hold_nearly_as_often_as_they_say() -> None:
    held = []
    for trial in range(60):
        game = cubic(trial)
        exact = shapley_values(game, PLAYERS)
        walk = partial(marginals, game)
        draws = np.array([draw(walk, PLAYERS, i, trial) for i in range(40)])
        low, high = intervals.bootstrap(draws, seed=trial)
        held.append((low <= exact) & (exact <= high))
    assert 0.88 <= float(np.mean(held)) <= 1.0


@given(st.permutations(range(8)))
@settings(max_examples=20)
def test_kendall_counts_pairs_in_order(order: list[int]) -> None:
    scores, other = np.arange(8.0), np.array(order, dtype=float)
    pairs = [(i, j) for i in range(8) for j in range(i)]
    agree = sum((scores[i] - scores[j]) * (other[i] - other[j]) > 0 for i, j in pairs)
    assert intervals.kendall(scores, other) == pytest.approx((2 * agree - 28) / 28)
    assert intervals.kendall(scores, -scores) == pytest.approx(-1)
    assert intervals.kendall(scores, np.zeros(8)) == 0.0


def test_players_are_separated_when_intervals_of_kept_and_gone_do_not_touch() -> None:
    values, half = np.array([3.0, 1.0, 2.0]), np.full(3, 0.4)
    assert intervals.separated(values, half, 1)
    assert not intervals.separated(values, half + 0.2, 1)
    assert intervals.separated(values, half + 9, 0)
    assert intervals.separated(values, half + 9, 3)
