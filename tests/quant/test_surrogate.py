"""Gradients against finite differences of the function they are the gradient of."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.quant.surrogate import round_activation, round_weight, scale_gradient

BOUNDS = [(0, 255), (0, 15), (0, 3), (-8, 7), (-2, 1), (-127, 127)]
STEP = 1e-6


def draw(seed: int, bounds: tuple[int, int], scale: float) -> Tensor:
    """Values over and beyond the range, none within reach of an edge or of a tie."""
    generator = torch.Generator().manual_seed(seed)
    low, high = bounds[0] - 3, bounds[1] + 3
    codes = torch.rand(200, generator=generator, dtype=torch.float64) * (high - low) + low
    fraction = codes - torch.floor(codes)
    return codes[(fraction - 0.5).abs() > 1e-3] * scale


def surrogate(
    values: Tensor, scale: Tensor, zero: Tensor, bounds: tuple[int, int], learns_rounding: bool
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The smooth function around a point: what rounding adds there is taken as constant."""

    def inner(v: Tensor, s: Tensor, z: Tensor) -> Tensor:
        return torch.clamp(v / s, bounds[0] - z - 0.5, bounds[1] - z + 0.5)

    moved = torch.round(zero)
    codes = torch.clamp(torch.round(values / scale), bounds[0] - moved, bounds[1] - moved)
    added = codes - inner(values, scale, moved)
    inside = added.abs() < 0.5 - 1e-9

    def smooth(v: Tensor, s: Tensor, z: Tensor) -> Tensor:
        grid = s * (inner(v, s, z) + added)
        # PACT: what lies inside is passed on as it is, whatever the scale.
        return grid if learns_rounding else torch.where(inside, v + scale * added, grid)

    return smooth


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("learns_rounding", [True, False], ids=["lsq", "pact"])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**20), scale=st.floats(1e-3, 10), zero=st.floats(-3, 3))
def test_gradients_are_those_of_the_surrogate(
    bounds: tuple[int, int], learns_rounding: bool, seed: int, scale: float, zero: float
) -> None:
    values = draw(seed, bounds, scale).requires_grad_()
    step = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    middle = torch.tensor(zero, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(values), dtype=torch.float64)
    result = round_activation(values, step, middle, bounds, learns_rounding)
    torch.autograd.backward((result * weights).sum())
    assert values.grad is not None
    assert step.grad is not None
    assert middle.grad is not None

    moved = torch.round(middle.detach())
    points = (values.detach(), step.detach(), moved)
    smooth = surrogate(*points, bounds, learns_rounding)
    assert torch.allclose(smooth(*points), result.detach())
    for place, grad in ((0, values.grad), (1, step.grad), (2, middle.grad)):
        size = STEP * (scale if place == 1 else 1.0)
        up, down = list(points), list(points)
        up[place], down[place] = points[place] + size, points[place] - size
        slope = (smooth(*up) - smooth(*down)) / (2 * size) * weights
        wanted = slope if place == 0 else slope.sum()
        # Beside its size: sums are float32, as they are where it matters, in training.
        unit = float((weights * result.detach()).abs().sum()) / (scale if place == 1 else 1.0)
        assert torch.allclose(grad, wanted, atol=2e-6 * max(unit, 1.0), rtol=1e-4)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_they_are_those_of_the_fused_kernel(bounds: tuple[int, int]) -> None:
    values = torch.randn(4, 3, 5, 5) * bounds[1] * 0.2
    gradient = torch.randn_like(values)
    scale = torch.tensor([0.3])
    found = []
    for fused in (True, False):
        given_values = values.clone().requires_grad_()
        step, zero = scale.clone().requires_grad_(), torch.zeros(1).requires_grad_()
        if fused:
            result = torch._fake_quantize_learnable_per_tensor_affine(
                given_values, step, zero, *bounds, 1.0
            )
        else:
            result = round_activation(given_values, step, zero, bounds)
        torch.autograd.backward(result, gradient)
        found.append((result.detach(), given_values.grad, step.grad, zero.grad))
    for ours, theirs in zip(*found, strict=True):
        assert ours is not None
        assert theirs is not None
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)


@given(seed=st.integers(0, 2**20), channels=st.integers(1, 5))
def test_weights_per_channel_are_activations_one_channel_at_a_time(
    seed: int, channels: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(channels, 6, generator=generator, dtype=torch.float64)
    scale = torch.rand(channels, 1, generator=generator, dtype=torch.float64) + 0.05
    gradient = torch.randn(channels, 6, generator=generator, dtype=torch.float64)
    ours = (weight.clone().requires_grad_(), scale.clone().requires_grad_())
    torch.autograd.backward(round_weight(*ours, (-2, 1), True), gradient)
    for row in range(channels):
        one = (weight[row].clone().requires_grad_(), scale[row].clone().requires_grad_())
        alone = round_activation(*one, torch.zeros(()), (-2, 1))
        torch.autograd.backward(alone, gradient[row])
        assert torch.allclose(ours[0].grad[row], one[0].grad)  # type: ignore[index, arg-type]
        assert torch.allclose(ours[1].grad[row], one[1].grad, atol=1e-5)  # type: ignore[index, arg-type]


def test_bfloat16_keeps_its_precision_and_gives_the_scale_a_float_gradient() -> None:
    values = torch.randn(2, 4, 8, 8).bfloat16().requires_grad_()
    step = torch.tensor(0.1, requires_grad=True)
    result = round_activation(values, step, torch.tensor(0.0), (0, 15))
    torch.autograd.backward(result.float().square().sum())
    assert result.dtype == torch.bfloat16
    assert step.grad is not None
    assert step.grad.dtype == torch.float32


@pytest.mark.parametrize("factor", [0.0, 0.25, 3.0])
def test_a_scaled_gradient_leaves_values_alone(factor: float) -> None:
    values = torch.randn(5, requires_grad=True)
    result = scale_gradient(values, factor)
    torch.autograd.backward(result.sum())
    assert torch.equal(result, values)
    assert torch.equal(values.grad, torch.full((5,), factor))  # type: ignore[arg-type]


def test_memory_formats_do_not_matter() -> None:
    values, gradient = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    found = []
    for form in (torch.contiguous_format, torch.channels_last):
        given_values = values.clone(memory_format=form).requires_grad_()
        step = torch.tensor(0.2, requires_grad=True)
        torch.autograd.backward(
            round_activation(given_values, step, torch.tensor(1.0), (0, 7)), gradient
        )
        found.append((given_values.grad, step.grad))
    assert torch.allclose(found[0][0], found[1][0])  # type: ignore[arg-type]
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-5)  # type: ignore[arg-type]
