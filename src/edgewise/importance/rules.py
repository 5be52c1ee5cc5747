"""Which links stay, by their scores."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from edgewise.errors import UsageError

Scores = Sequence[Tensor]
Rule = Callable[[Scores, float], list[Tensor]]


def by_layer(scores: Scores, sparsity: float) -> list[Tensor]:
    """The same share of every layer goes."""
    return [_highest(one, round(one.numel() * (1 - sparsity))) for one in scores]


def by_unit(scores: Scores, sparsity: float) -> list[Tensor]:
    """Every unit keeps as many links as every other of its layer (Sun et al. 2023, section 3.1)."""
    kept = []
    for one in scores:
        rows = one.flatten(1)
        count = round(rows.shape[1] * (1 - sparsity))
        mask = torch.zeros_like(rows, dtype=torch.bool)
        mask.scatter_(1, rows.topk(count, dim=1).indices, True)
        kept.append(mask.view(one.shape))
    return kept


def over_all(scores: Scores, sparsity: float) -> list[Tensor]:
    """The lowest of all links go, each by its share of its own layer's total."""
    shares = torch.cat([_share(one).flatten() for one in scores])
    kept = _highest(shares, round(shares.numel() * (1 - sparsity)))
    parts = torch.split(kept, [one.numel() for one in scores])
    return [part.view(one.shape) for part, one in zip(parts, scores, strict=True)]


def by_energy(scores: Scores, sparsity: float) -> list[Tensor]:
    """Every layer keeps the fewest links that hold the same share of its total score, and that
    share is as large as the wanted sparsity allows."""
    ordered = [_share(one).flatten().sort(descending=True).values.cumsum(0) for one in scores]
    most = round(sum(one.numel() for one in scores) * (1 - sparsity))
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        if sum(int((one < share).sum()) for one in ordered) <= most:
            low = share
        else:
            high = share
    return [
        _highest(one, int((sums < low).sum())) for one, sums in zip(scores, ordered, strict=True)
    ]


RULES: Mapping[str, Rule] = {
    "layer": by_layer, "unit": by_unit, "global": over_all, "energy": by_energy,
}  # fmt: skip


def rule(name: str) -> Rule:
    """The rule of that name; raises UsageError when there is none."""
    if name not in RULES:
        raise UsageError(f"there is no pruning rule '{name}'; choose one of {', '.join(RULES)}.")
    return RULES[name]


def _share(scores: Tensor) -> Tensor:
    """Non-negative, summing to one: what a negative score says is that the link may go first."""
    positive = scores.clamp_min(0)
    return positive / positive.sum().clamp_min(1e-300)


def _highest(scores: Tensor, count: int) -> Tensor:
    """Where the `count` highest are; equal ones by position."""
    flat = scores.flatten()
    mask = torch.zeros(flat.shape, dtype=torch.bool)
    mask[flat.argsort(descending=True, stable=True)[:count]] = True
    return mask.view(scores.shape)
