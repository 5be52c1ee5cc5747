"""Shapley values of any game by permutations of its players.

A player's marginal, as it enters in a random order, has the Shapley value as its mean; along one
order marginals sum to v(all) - v(none), whatever the game. A permutation and its reverse are drawn
together: what players do alone and in pairs is then exact, and only what three or more do together
is left to chance (Mitchell et al. 2022; Mayer and Wuethrich 2025). A control game whose values are
known takes away what it shares with the true one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.importance.game import Game, Values

Order = NDArray[np.int64]
# Marginals of all players, by player, as they enter in an order.
Walk = Callable[[Order], Values]


@dataclass(frozen=True)
class Control:
    """A game like the true one: its marginals along an order, and its Shapley values."""

    walk: Walk
    values: Values


def marginals(game: Game, order: Order, tolerance: float = 0.0) -> Values:
    """Marginals of a set function along an order.

    tolerance: once the value of those that entered is so near that of all, the rest get 0: a bias
    of at most that much for each of them (Ghorbani and Zou 2019).
    """
    members = np.zeros(len(order), dtype=np.bool_)
    whole = game(np.ones(len(order), dtype=np.bool_)) if tolerance else None
    found = np.zeros(len(order))
    value = game(members)
    for player in order:
        if whole is not None and abs(whole - value) < tolerance:
            break
        members[player] = True
        after = game(members)
        found[player] = after - value
        value = after
    return found


def draw(
    walk: Walk, players: int, index: int, seed: int, control: Control | None = None,
    antithetic: bool = True,
) -> Values:  # fmt: skip
    """One estimate of all Shapley values, unbiased: draw number `index` of those of a seed.

    Each draw has a generator of its own, so that a run goes on where another stopped.
    """
    order = np.random.default_rng((seed, index)).permutation(players)
    orders = (order, order[::-1]) if antithetic else (order,)
    found = np.mean([walk(one) for one in orders], axis=0)
    if control is not None:
        found = found - np.mean([control.walk(one) for one in orders], axis=0) + control.values
    return np.asarray(found, dtype=np.float64)
