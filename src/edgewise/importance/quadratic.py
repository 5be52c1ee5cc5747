"""The squared-error game of a layer's links, solved in closed form.

The links into one unit contribute z_i = w_i (x_i - r_i) to its sum; a coalition is worth what it
takes off the squared error of leaving all of them out: v(S) = E(sum_N z)^2 - E(sum_N\\S z)^2. With
the second moments C = E (x - r)(x - r)^T of the inputs and G = diag(w) C diag(w), v is a quadratic
set function: its Harsanyi dividends are 2 (G 1)_i - G_ii of single links, -2 G_ik of pairs, and 0
beyond. Shapley's value splits a dividend evenly among its members, hence phi_i = (G 1)_i, which is
w_i (C w)_i (Harsanyi 1963; Grabisch and Roubens 1999 for interactions).

Throughout: weight (units, inputs), second (inputs, inputs), results (units, inputs).
"""

import torch
from torch import Tensor


def shapley(weight: Tensor, second: Tensor) -> Tensor:
    """Shapley value, which here is the Banzhaf value too, of every link: W o (W C)."""
    return weight * (weight @ second)


def semivalue(weight: Tensor, second: Tensor, share: float) -> Tensor:
    """Mean marginal where every other link stays with probability `share`.

    1 is the error of removing the link alone (OBD, LeCun et al. 1989; Wanda squared, Sun et al.
    2023), 1/2 is Shapley's value, 0 what the link is worth alone.
    """
    alone = weight.square() * second.diagonal()
    return alone + 2 * (1 - share) * (shapley(weight, second) - alone)


def removal_error(weight: Tensor, second: Tensor, kept: Tensor) -> Tensor:
    """Squared error (units,) of each unit's sum when only the links in `kept` stay."""
    removed = weight * ~kept
    return ((removed @ second) * removed).sum(1)


def backward_order(weight: Tensor, second: Tensor) -> Tensor:
    """Place of every link in greedy elimination; the first to go is 0.

    Each time the link goes whose loss adds least to the error of those already gone. Time is
    units * inputs^2.
    """
    alone = weight.square() * second.diagonal()
    place = torch.zeros(weight.shape, dtype=torch.long)
    crossed = torch.zeros_like(weight)  # sum over those gone of G_ik
    units = torch.arange(len(weight))
    gone = torch.zeros(weight.shape, dtype=torch.bool)
    for turn in range(weight.shape[1]):
        cost = (alone + 2 * crossed).masked_fill(gone, float("inf"))
        chosen = cost.argmin(1)
        gone[units, chosen] = True
        place[units, chosen] = turn
        crossed += weight * second[chosen] * weight[units, chosen, None]
    return place
