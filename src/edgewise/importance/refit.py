"""Least-squares refit of the links that stay, and the game whose value is what a refit explains.

A set S of inputs explains v(S) = c_S^T (C_SS)^-1 c_S of a unit's energy, with c = C w. Its Shapley
value is that of "Shapley regression" (Lindeman, Merenda and Gold 1980). It has no closed form, but
along an order of entry one Cholesky factor gives every unit's marginals at once: with C_oo = L L^T
and Q = L^-1 (C W^T)_o, the entrant in place k adds Q_kj^2 to unit j.

Throughout: weight (units, inputs), second (inputs, inputs), float64.
"""

import torch
from torch import Tensor

# Of the mean variance, the first that will do: inputs that are never lit have no variance.
_LEAST = 1e-6
_DAMPINGS = (_LEAST, 1e-5, 1e-4, 1e-3, 1e-2)


def damped(second: Tensor) -> Tensor:
    """Second moments that can be inverted, whatever inputs are constant or alike.

    Moments that were summed in float32 may be indefinite by more than the least damping.
    """
    level = second.diagonal().mean().clamp_min(torch.finfo(second.dtype).tiny)
    unit = torch.eye(len(second), dtype=second.dtype)
    for power in _DAMPINGS:
        made = second + power * level * unit
        if not int(torch.linalg.cholesky_ex(made).info):
            break
    return made


def entry_gains(weight: Tensor, second: Tensor, order: Tensor) -> Tensor:
    """What each input explains of each unit as it enters, (units, inputs)."""
    factor = torch.linalg.cholesky(second[order][:, order])
    explained = torch.linalg.solve_triangular(factor, (second @ weight.T)[order], upper=False)
    gains = torch.empty_like(weight)
    gains[:, order] = explained.square().T
    return gains


def refit_shapley(weight: Tensor, second: Tensor, pairs: int, seed: int) -> Tensor:
    """Shapley values of the refit game, from `pairs` permutations and their reverses."""
    draw = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(weight)
    for _ in range(pairs):
        order = torch.randperm(weight.shape[1], generator=draw)
        for one in (order, order.flip(0)):
            total += entry_gains(weight, second, one)
    return total / (2 * pairs)


def brain_surgeon(weight: Tensor, second: Tensor) -> Tensor:
    """Error of removing a link alone with all others refitted: w_i^2 / (C^-1)_ii.

    Hassibi and Stork 1993 (optimal brain surgeon); the last marginal of the refit game.
    """
    return weight.square() / torch.cholesky_inverse(torch.linalg.cholesky(second)).diagonal()


def refitted(wanted: Tensor, second: Tensor, kept: Tensor) -> Tensor:
    """Weights on the kept links that give the least squared error of each unit's sum.

    wanted: moments (units, inputs) of what each unit is to give and the inputs.
    """
    result = torch.zeros_like(wanted)
    for unit, row in enumerate(kept):
        index = row.nonzero().flatten()
        if len(index):
            factor = torch.linalg.cholesky(second[index][:, index])
            solved = torch.cholesky_solve(wanted[unit, index, None], factor)
            result[unit, index] = solved.flatten()
    return result


def pursuit_order(weight: Tensor, second: Tensor, most: int) -> Tensor:
    """Place of every link in orthogonal matching pursuit, those never chosen at `most`.

    Each time the input enters that explains most of what is left of the unit, all being refitted
    (Pati et al. 1993; as forward selection, Efroymson 1960). Time is units * most * inputs.
    """
    units, inputs = weight.shape
    place = torch.full((units, inputs), most, dtype=torch.long)
    left = weight @ second  # covariance of every input with what is left of every unit
    variance = second.diagonal().repeat(units, 1)  # of every input given those that entered
    basis = torch.zeros(most, units, inputs, dtype=weight.dtype)
    rows = torch.arange(units)
    free = torch.ones(units, inputs, dtype=torch.bool)
    least = second.diagonal().mean() * _LEAST
    for turn in range(most):
        gain = (left.square() / variance.clamp_min(least)).masked_fill(~free, -1.0)
        chosen = gain.argmax(1)
        place[rows, chosen] = turn
        free[rows, chosen] = False
        # One step of Cholesky on the order of each unit's own: the column of the new entrant.
        before = basis[:turn, rows, chosen]
        column = second[chosen] - torch.einsum("tu,tui->ui", before, basis[:turn])
        column = column / variance[rows, chosen].clamp_min(least).sqrt()[:, None]
        basis[turn] = column
        left = (
            left
            - (left[rows, chosen] / variance[rows, chosen].clamp_min(least).sqrt())[:, None]
            * column
        )
        variance = variance - column.square()
    return place
