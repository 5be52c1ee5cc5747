"""Cooperative games of few players, solved exactly by enumeration: what faster ways must equal.

A game gives a value to every set of players. Here a set is a row of booleans, one a player.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import UsageError

Members = NDArray[np.bool_]
Values = NDArray[np.float64]
Game = Callable[[Members], float]

_MOST = 20


def shapley_values(game: Game, players: int) -> Values:
    """Shapley value of every player (Shapley 1953); calls the game 2^players times.

    Raises UsageError for more than 20 players.
    """
    sizes = np.arange(players)
    ways = np.array([math.comb(players - 1, int(size)) for size in sizes], dtype=np.float64)
    return _averaged(game, players, 1 / (players * ways))


def semivalues(game: Game, players: int, share: float) -> Values:
    """A player's mean marginal where every other one is there with probability `share`.

    share: 1/2 gives the Banzhaf value, 1 the last marginal, 0 the first.
    """
    sizes = np.arange(players)
    return _averaged(game, players, share**sizes * (1 - share) ** (players - 1 - sizes))


def _averaged(game: Game, players: int, weights: Values) -> Values:
    """Mean marginals; weights: by the number of others that are there."""
    if not 1 <= players <= _MOST:
        raise UsageError(f"a game of {players} players is not enumerated; 1 to {_MOST} are.")
    sets = np.arange(1 << players)[:, None] >> np.arange(players) & 1
    values = np.array([game(row) for row in sets.astype(np.bool_)])
    sizes = sets.sum(axis=1)
    found = np.empty(players)
    for player in range(players):
        without = np.flatnonzero(sets[:, player] == 0)
        gains = values[without | 1 << player] - values[without]
        found[player] = weights[sizes[without]] @ gains
    return found
