"""Greedy elimination: the link goes whose loss adds least to the error of those already gone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence
from edgewise.importance.quadratic import backward_order


@dataclass(frozen=True)
class Greedy(Criterion):
    """Place in each unit's own elimination, so every unit keeps as many links."""

    needs_inputs: ClassVar[bool] = True

    def scores(self, evidence: Evidence) -> Tensor:
        seen = evidence.seen_inputs()
        weights, seconds = seen.by_group(evidence.weight), seen.second(self.centred)
        places = [backward_order(w, c) for w, c in zip(weights, seconds, strict=True)]
        return torch.cat(places).double().reshape(evidence.weight.shape)
