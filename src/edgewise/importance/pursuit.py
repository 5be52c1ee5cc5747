"""Orthogonal matching pursuit: links enter one by one, each where it explains most."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence
from edgewise.importance.refit import damped, pursuit_order


@dataclass(frozen=True)
class Pursuit(Criterion):
    """Place in each unit's own pursuit, the first highest: every unit keeps as many links."""

    needs_inputs: ClassVar[bool] = True

    def scores(self, evidence: Evidence) -> Tensor:
        seen = evidence.seen_inputs()
        weights, seconds = seen.by_group(evidence.weight), seen.second(self.centred)
        units = len(evidence.weight)
        most = min(weights.shape[2], -(-evidence.kept // units))
        places = [pursuit_order(w, damped(c), most) for w, c in zip(weights, seconds, strict=True)]
        # Among links that no pursuit chose, the larger ones are left last.
        rest = torch.cat(list(weights)).abs()
        chosen = most - torch.cat(places).double()
        scores = chosen + rest / (2 * rest.max().clamp_min(1e-300))
        return scores.reshape(evidence.weight.shape)
