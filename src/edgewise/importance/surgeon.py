"""Optimal brain surgeon: the error of removing one link when all others are refitted."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence
from edgewise.importance.refit import brain_surgeon, damped


@dataclass(frozen=True)
class BrainSurgeon(Criterion):
    """w^2 / (C^-1)_ii (Hassibi and Stork 1993)."""

    needs_inputs: ClassVar[bool] = True

    def scores(self, evidence: Evidence) -> Tensor:
        seen = evidence.seen_inputs()
        weights, seconds = seen.by_group(evidence.weight), seen.second(self.centred)
        values = [brain_surgeon(w, damped(c)) for w, c in zip(weights, seconds, strict=True)]
        return torch.cat(values).reshape(evidence.weight.shape)
