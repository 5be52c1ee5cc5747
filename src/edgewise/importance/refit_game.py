"""Shapley value of a link where those that stay are refitted (see `refit`)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence
from edgewise.importance.refit import damped, refit_shapley


@dataclass(frozen=True)
class RefitShapley(Criterion):
    """Sampled: pairs of a permutation and its reverse, by seed."""

    needs_inputs: ClassVar[bool] = True

    pairs: int = 20
    seed: int = 0

    def scores(self, evidence: Evidence) -> Tensor:
        seen = evidence.seen_inputs()
        weights, seconds = seen.by_group(evidence.weight), seen.second(self.centred)
        values = [
            refit_shapley(w, damped(c), self.pairs, self.seed)
            for w, c in zip(weights, seconds, strict=True)
        ]
        return torch.cat(values).reshape(evidence.weight.shape)
