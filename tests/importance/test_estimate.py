from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgewise.errors import StorageError, UsageError
from edgewise.importance.estimate import Budget, estimate
from edgewise.importance.game import Values, shapley_values
from edgewise.importance.intervals import agreement
from edgewise.importance.permutations import Order, Walk, marginals

PLAYERS = 5


def value(members: np.ndarray) -> float:
    return float(np.prod(1 + members * np.arange(1, PLAYERS + 1)))


WALK = partial(marginals, value)


def walks(index: int) -> Walk:
    return WALK


def ignore(done: int) -> None:
    pass


def test_the_mean_of_the_draws_nears_the_values() -> None:
    draws = estimate(walks, PLAYERS, Budget(200), None, "game", ignore)
    exact = shapley_values(value, PLAYERS)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - exact) <= 5 * error)
    assert np.allclose(draws.sum(axis=1), exact.sum())


def test_stopped_anywhere_it_goes_on_to_the_same(tmp_path: Path) -> None:
    whole = estimate(walks, PLAYERS, Budget(9), None, "game", ignore)
    calls = 0

    class StopError(Exception):
        pass

    def stopping(order: Order) -> Values:
        nonlocal calls
        calls += 1
        if calls == 8:  # in the middle of a draw
            raise StopError
        return WALK(order)

    def stoppings(index: int) -> Walk:
        return stopping

    path = tmp_path / "draws"
    with pytest.raises(StopError):
        estimate(stoppings, PLAYERS, Budget(9), path, "game", ignore)
    before = calls
    assert np.array_equal(estimate(stoppings, PLAYERS, Budget(9), path, "game", ignore), whole)
    assert calls - before == 2 * (9 - 3)
    assert np.array_equal(estimate(stoppings, PLAYERS, Budget(9), path, "game", ignore), whole)
    assert calls - before == 2 * (9 - 3)
    longer = estimate(walks, PLAYERS, Budget(12), path, "game", ignore)
    assert np.array_equal(longer[:9], whole)


def test_it_ends_when_the_halves_agree() -> None:
    draws = estimate(walks, PLAYERS, Budget(500, agreement=0.99), None, "game", ignore)
    assert 4 <= len(draws) < 500
    assert agreement(draws) >= 0.99


@pytest.mark.parametrize("change", ["identity", "seed", "players", "damage", "truncation"])
def test_draws_of_another_game_and_damaged_ones_are_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "draws"
    estimate(walks, PLAYERS, Budget(2), path, "game", ignore)
    content = path.read_bytes()
    if change == "damage":
        path.write_bytes(b"\xff" * len(content))
    if change == "truncation":
        path.write_bytes(content[:-3])
    name, seed, players = "game", 0, PLAYERS
    if change == "identity":
        name = "other"
    if change == "seed":
        seed = 1
    if change == "players":
        players = PLAYERS + 1
    with pytest.raises(StorageError, match="delete it"):
        estimate(walks, players, Budget(3, seed=seed), path, name, ignore)


@pytest.mark.parametrize("settings", [{"draws": 0}, {"agreement": 2.0}, {"agreement": np.nan}])
def test_budgets_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="at least one draw"):
        Budget(**settings)  # type: ignore[arg-type]
