"""Magnitude: what is small goes (Han et al. 2015)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence


@dataclass(frozen=True)
class Magnitude(Criterion):
    """|w|; the baseline."""

    name: ClassVar[str] = "magnitude"

    def scores(self, evidence: Evidence) -> Tensor:
        return evidence.weight.detach().double().abs()
