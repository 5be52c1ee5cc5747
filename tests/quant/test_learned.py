from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.errors import RecipeError
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.quant.affine import affine_parameters, symmetric_parameters
from edgewise.quant.fake import BIAS_LIMIT
from edgewise.quant.learned import (
    FLOOR,
    METHODS,
    LearnedLayer,
    LearnedQuantizer,
    Learning,
    StepSize,
)
from edgewise.quant.scheme import WIDTHS, IntType, Scheme

UINT8 = IntType(8, signed=False)


def quantizer(
    low: float = 0.0, high: float = 4.0, bits: int = 8, method: str = "lsq"
) -> LearnedQuantizer:
    kind = IntType(bits, signed=False)
    return LearnedQuantizer(kind, *affine_parameters(low, high, kind), Learning(method))


def convolution(seed: int, norm: bool = True) -> WeightedLayer:
    torch.manual_seed(seed)
    geometry = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
    weight = nn.Parameter(torch.randn(5, 3, 3, 3) * torch.logspace(-2, 1, 5).view(5, 1, 1, 1))
    layer = WeightedLayer(Form("conv2d", "body", geometry), weight, nn.Parameter(torch.randn(5)))
    if norm:
        layer.batch_norm = nn.BatchNorm2d(5)
        with torch.no_grad():
            layer.batch_norm.weight.copy_(torch.randn(5))  # of both signs
            layer.batch_norm.bias.normal_()
            layer.batch_norm.running_mean.normal_()  # type: ignore[union-attr]
            layer.batch_norm.running_var.uniform_(0.2, 3.0)  # type: ignore[union-attr]
    return layer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", WIDTHS)
@given(seed=st.integers(0, 1000), norm=st.booleans())
@settings(max_examples=5)
def test_folding_changes_no_code(method: str, bits: int, seed: int, norm: bool) -> None:
    """Rounding before BatchNorm's factor is rounding after it, in steps as much larger."""
    source = quantizer(method=method)
    made = LearnedLayer(convolution(seed, norm), Scheme(bits, 8).weights, source, Learning(method))
    made.eval()
    images = torch.rand(4, 3, 6, 6) * 4
    inputs = source.frozen()(images)
    with torch.no_grad():
        unfused = made.form.run(inputs, made.rounded_weight(), made.bias)
        if made.batch_norm is not None:
            unfused = made.batch_norm(unfused)
        fused = made(inputs)
    frozen = made.frozen(source.frozen())
    # An integer bias is rounded to the accumulator's steps, a float one is not.
    allowed = frozen.step.view(1, -1, 1, 1) / 2 + 1e-5 * unfused.abs().max()
    assert bool(((fused - unfused).abs() <= allowed).all())
    assert frozen.weight_codes.min() >= made.kind.low
    assert frozen.weight_codes.max() <= made.kind.high
    with torch.no_grad():
        assert torch.equal(frozen(inputs), fused)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", WIDTHS)
def test_evaluation_computes_what_the_frozen_quantizer_does(method: str, bits: int) -> None:
    made = quantizer(-1.0, 3.0, bits, method)
    values = torch.randn(2, 3, 4, 4)
    made.train()
    made(values)
    made.eval()
    assert torch.equal(made(values), made.frozen()(values))
    assert not isinstance(made.frozen(), LearnedQuantizer)


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["collapse", "explosion"])
@pytest.mark.parametrize("bits", WIDTHS)
def test_no_scale_collapses_and_no_bias_overflows(direction: float, bits: int) -> None:
    """Whatever the loss wants: here it wants the scales as small, or as large, as can be."""
    source = quantizer()
    layer = convolution(1)
    made = LearnedLayer(layer, Scheme(bits, 8).weights, source, Learning())
    made.train()
    source.train()
    first = made.scale.detach().clone()
    optimizer = torch.optim.AdamW([made.scale, source.scale], lr=0.5)
    images = torch.rand(2, 3, 6, 6)
    for _ in range(20):
        loss = made(source(images)).square().mean() * 0
        loss = loss + direction * (made.scale.sum() + source.scale)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    made(source(images))  # what is trained is projected where it is used
    frozen = made.frozen(source.frozen())
    assert torch.isfinite(frozen.scale).all()
    assert bool((made.scale >= FLOOR * first * 0.999).all())
    assert frozen.bias_codes is not None
    assert int(frozen.bias_codes.long().abs().max()) < BIAS_LIMIT


def test_a_bias_too_large_for_its_step_makes_the_step_coarser() -> None:
    layer = convolution(0, norm=False)
    with torch.no_grad():
        layer.weight.mul_(1e-9)
        assert layer.bias is not None
        layer.bias.fill_(100.0)
    frozen = LearnedLayer(layer, Scheme().weights, quantizer(), Learning()).frozen(
        quantizer().frozen()
    )
    assert frozen.bias_codes is not None
    assert int(frozen.bias_codes.long().abs().max()) < BIAS_LIMIT
    with torch.no_grad():
        assert torch.allclose(frozen(torch.zeros(1, 3, 4, 4)), torch.tensor(100.0), rtol=1e-4)


def test_what_is_learned_is_marked_and_survives_a_copy() -> None:
    import copy

    layer = LearnedLayer(convolution(0), Scheme().weights, quantizer(-1.0), Learning())
    steps = [p for p in copy.deepcopy(layer).parameters() if isinstance(p, StepSize)]
    assert len(steps) == 1
    signed, unsigned = quantizer(-1.0), quantizer(0.0)
    assert {name for name, _ in signed.named_parameters()} == {"scale", "zero_point"}
    assert {name for name, _ in unsigned.named_parameters()} == {"scale"}
    assert not list(quantizer(-1.0, method="ste").parameters())


def test_the_straight_through_method_follows_what_it_sees() -> None:
    made = quantizer(0.0, 1.0, method="ste")
    made.train()
    for _ in range(2000):
        made(torch.linspace(-2.0, 6.0, 64).view(4, 16))
    low, high = made.frozen().bounds
    assert (low, high) == pytest.approx((-2.0, 6.0), abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_a_symmetric_quantizer_keeps_zero_at_code_zero(method: str) -> None:
    kind = IntType(8, signed=True)
    scale, zero = symmetric_parameters(-1.0, 2.0, kind)
    made = LearnedQuantizer(kind, scale, zero, Learning(method), symmetric=True)
    assert "zero_point" not in {name for name, _ in made.named_parameters()}
    made.train()
    for _ in range(2000 if method == "ste" else 1):
        made(torch.linspace(-6.0, 2.0, 64).view(4, 16))
    assert float(made.frozen().zero_point) == 0
    if method == "ste":
        assert made.frozen().bounds[1] == pytest.approx(6.0, abs=0.05)


def test_a_range_may_come_from_the_first_batch() -> None:
    made = LearnedQuantizer.unseen(UINT8, Learning())
    made.train()
    made(torch.linspace(-1.0, 3.0, 64).view(4, 16))
    assert made.frozen().bounds == pytest.approx((-1.0, 3.0), abs=0.02)
    assert not bool(made.fresh)


@pytest.mark.parametrize("bits", WIDTHS)
def test_dampening_is_zero_on_the_grid_and_pulls_towards_it(bits: int) -> None:
    made = LearnedLayer(convolution(3), Scheme(bits, 8).weights, quantizer(), Learning())
    before = made.dampening()
    assert float(before.detach()) > 0
    torch.autograd.backward(before)
    with torch.no_grad():
        assert made.weight.grad is not None
        made.weight.sub_(0.25 * made.weight.grad)
        assert float(made.dampening()) < float(before.detach())
        made.weight.copy_(made.rounded_weight())
        assert float(made.dampening()) == pytest.approx(0.0, abs=1e-9)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(RecipeError, match="lsq, pact, ste"):
        Learning("dorefa")


@pytest.mark.parametrize("make", [lambda: quantizer(-1.0), lambda: quantizer(0.0)])
def test_training_moves_the_scale_to_less_error(make: Callable[[], LearnedQuantizer]) -> None:
    """The gradient is no mere formula: following it brings the rounded values nearer."""
    torch.manual_seed(0)
    made = make()
    kind = IntType(2, signed=False)
    made = LearnedQuantizer(kind, *affine_parameters(*made.frozen().bounds, kind), Learning())
    values = torch.randn(16, 64)
    if float(made.zero_point.detach()) == kind.low:
        values = values.relu()

    def error() -> Tensor:
        loss: Tensor = (made(values) - values).square().sum()
        return loss

    made.train()
    before = float(error().detach())
    optimizer = torch.optim.SGD(made.parameters(), lr=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(error())
        optimizer.step()
    assert float(error().detach()) < 0.9 * before
