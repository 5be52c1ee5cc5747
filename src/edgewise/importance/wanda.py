"""Wanda: |w| times the norm of its input (Sun et al. 2023, equation 1).

Squared, it is the error of removing that link alone: the diagonal of optimal brain damage (LeCun,
Denker and Solla 1989) for the layer's squared error, and the last marginal of the squared-error
game.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence


@dataclass(frozen=True)
class Wanda(Criterion):
    """w^2 E (x - r)^2; r: the mean where centred, else 0."""

    needs_links: ClassVar[bool] = True

    def scores(self, evidence: Evidence) -> Tensor:
        weight = evidence.weight.detach().double()
        return weight.square() * evidence.seen_links().second(self.centred)
