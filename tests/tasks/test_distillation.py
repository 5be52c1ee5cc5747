import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from edgewise.tasks.distillation import distillation


@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 20))
def test_it_is_the_divergence_and_zero_only_for_the_same_answers(
    seed: int, temperature: float
) -> None:
    torch.manual_seed(seed)
    ours, theirs = torch.randn(2, 5, 7, dtype=torch.float64)
    p, q = (F.softmax(logits / temperature, 1) for logits in (theirs, ours))
    wanted = (p * (p.log() - q.log())).sum(1).mean() * temperature**2
    assert float(distillation(ours, theirs, temperature)) == pytest.approx(float(wanted), rel=1e-3)
    assert float(distillation(ours, ours + 3.0, temperature)) == pytest.approx(0.0, abs=1e-4)


def test_at_a_high_temperature_it_matches_logits() -> None:
    """Hinton et al. 2015, section 2.1: the gradient tends to the difference of centred logits."""
    torch.manual_seed(0)
    ours, theirs = torch.randn(1, 4, requires_grad=True), torch.randn(1, 4)
    torch.autograd.backward(distillation(ours, theirs, 200.0))
    difference = (ours - ours.mean()) - (theirs - theirs.mean())
    assert ours.grad is not None
    assert torch.allclose(ours.grad, difference.detach() / 4, atol=0.01)
