"""How sure sampled values are, from the draws themselves: (draws, players)."""

import math

import numpy as np

from edgewise.importance.game import Values


def bernstein(draws: Values, reach: float, risk: float = 0.05) -> Values:
    """Half-width (players,) of intervals that hold together with probability 1 - risk.

    Empirical Bernstein (Audibert, Munos and Szepesvari 2009, theorem 1), shared among the players
    by the union bound. reach: largest less smallest value that a draw can have.
    """
    count, players = draws.shape
    if count < 2:
        return np.full(players, math.inf)
    level = math.log(3 * players / risk)
    return np.asarray(draws.std(axis=0) * math.sqrt(2 * level / count) + 3 * reach * level / count)


def bootstrap(draws: Values, seed: int, resamples: int = 1000) -> tuple[Values, Values]:
    """Ends (players,) of each player's own 95 % interval: draws resampled with replacement."""
    count = len(draws)
    weights = np.random.default_rng(seed).multinomial(count, [1 / count] * count, resamples)
    means = weights @ draws / count
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return low, high


def kendall(first: Values, second: Values) -> float:
    """Kendall's tau-b of two scores of the same players: 1 is the same order, 0 none."""
    one, two = (np.sign(scores[:, None] - scores) for scores in (first, second))
    pairs = float(np.abs(one).sum()) * float(np.abs(two).sum())
    return float((one * two).sum() / math.sqrt(pairs)) if pairs else 0.0


def agreement(draws: Values) -> float:
    """Kendall's tau of the mean of every other draw with that of the rest."""
    return kendall(draws[::2].mean(axis=0), draws[1::2].mean(axis=0))


def separated(values: Values, half: Values, kept: int) -> bool:
    """Whether no player among the `kept` highest can, within its interval, be below another."""
    order = np.argsort(-values)
    stay, go = order[:kept], order[kept:]
    if not len(stay) or not len(go):
        return True
    return bool((values[stay] - half[stay]).min() > (values[go] + half[go]).max())
