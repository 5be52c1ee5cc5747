import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgewise.errors import UsageError
from edgewise.importance.rules import RULES, rule

sparsities = st.sampled_from([0.0, 0.3, 0.5, 0.88, 0.97])


def layers(seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = [(6, 3, 3, 3), (8, 6), (20, 8)]
    return [torch.rand(shape, generator=draw, dtype=torch.float64) ** 3 for shape in shapes]


@pytest.mark.parametrize("name", RULES)
@given(sparsity=sparsities, seed=st.integers(0, 1000))
def test_as_many_go_as_asked_and_none_that_is_worth_more(
    name: str, sparsity: float, seed: int
) -> None:
    scores = layers(seed)
    kept = rule(name)(scores, sparsity)
    total = sum(one.numel() for one in scores)
    slack = 2 * len(scores) if name != "unit" else sum(len(one) for one in scores)
    assert abs(sum(int(mask.sum()) for mask in kept) - (1 - sparsity) * total) <= slack
    for one, mask in zip(scores, kept, strict=True):
        rows = [(one, mask)] if name != "unit" else list(zip(one, mask, strict=True))
        for values, stays in rows:
            if bool(stays.any()) and not bool(stays.all()):
                assert values[stays].min() >= values[~stays].max()


@given(sparsity=sparsities, seed=st.integers(0, 1000))
def test_rules_share_out_as_they_say(sparsity: float, seed: int) -> None:
    scores = layers(seed)
    for one, mask in zip(scores, rule("layer")(scores, sparsity), strict=True):
        assert abs(int(mask.sum()) - (1 - sparsity) * one.numel()) <= 0.5
    for mask in rule("unit")(scores, sparsity):
        assert len(set(mask.flatten(1).sum(1).tolist())) == 1
    shares = [one / one.sum() for one in scores]
    globally = rule("global")(scores, sparsity)
    stay = torch.cat([s[m] for s, m in zip(shares, globally, strict=True)])
    go = torch.cat([s[~m] for s, m in zip(shares, globally, strict=True)])
    if len(stay) and len(go):
        assert stay.min() >= go.max()
    if 0.2 < sparsity < 0.9:
        energy = rule("energy")(scores, sparsity)
        held = [float(s[m].sum()) for s, m in zip(shares, energy, strict=True)]
        largest = max(float(s.max()) for s in shares)
        assert max(held) - min(held) <= 2 * largest


def test_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="layer, unit, global, energy"):
        rule("best")
