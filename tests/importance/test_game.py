import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.errors import UsageError
from edgewise.importance.game import Members, semivalues, shapley_values
from edgewise.importance.permutations import marginals


def table(players: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=1 << players)


def game(values: np.ndarray):  # type: ignore[no-untyped-def]
    def value(members: Members) -> float:
        return float(values[int(members @ (1 << np.arange(len(members))))])

    return value


few = st.integers(2, 6)
seeds = st.integers(0, 10_000)


@given(players=few, seed=seeds)
def test_values_are_means_of_marginals_over_all_orders(players: int, seed: int) -> None:
    any_game = game(table(players, seed))
    orders = list(itertools.permutations(range(players)))
    mean = np.mean([marginals(any_game, np.array(order)) for order in orders[::1]], axis=0)
    assert np.allclose(shapley_values(any_game, players), mean, rtol=1e-10, atol=1e-12)


@given(players=few, seed=seeds)
def test_efficiency_linearity_and_symmetry_of_enumeration(players: int, seed: int) -> None:
    one, two = table(players, seed), table(players, seed + 1)
    first, second = shapley_values(game(one), players), shapley_values(game(two), players)
    assert first.sum() == pytest.approx(one[-1] - one[0], abs=1e-10)
    both = shapley_values(game(one + 3 * two), players)
    assert np.allclose(both, first + 3 * second, atol=1e-10)


def test_a_majority_shares_power_evenly_and_a_dictator_has_all() -> None:
    assert np.allclose(shapley_values(lambda m: float(m.sum() >= 3), 5), 0.2)
    assert np.allclose(shapley_values(lambda m: float(m[1]), 4), [0, 1, 0, 0])


@given(players=few, seed=seeds, share=st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_semivalues_weigh_every_coalition_by_its_chance(
    players: int, seed: int, share: float
) -> None:
    values = table(players, seed)
    found = semivalues(game(values), players, share)
    for player in range(players):
        mean = 0.0
        for others in itertools.product((0, 1), repeat=players - 1):
            members = np.insert(np.array(others, dtype=bool), player, False)
            chance = math.prod(share if there else 1 - share for there in others)
            index = int(members @ (1 << np.arange(players)))
            mean += chance * (values[index | 1 << player] - values[index])
        assert found[player] == pytest.approx(mean, abs=1e-10)


@pytest.mark.parametrize("players", [0, 21])
def test_games_too_large_to_enumerate_are_refused(players: int) -> None:
    with pytest.raises(UsageError, match=str(players)):
        shapley_values(lambda members: 0.0, players)
