"""Magnitude: what is small goes (Han et al. 2015)."""

from dataclasses import dataclass

from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence


@dataclass(frozen=True)
class Magnitude(Criterion):
    """|w|; the baseline."""

    def scores(self, evidence: Evidence) -> Tensor:
        return evidence.weight.detach().double().abs()
