import numpy as np
import pytest
import torch
from torch import nn

from edgewise.graph.layer import Form, WeightedLayer
from edgewise.quant.affine import affine_parameters
from edgewise.quant.fake import BIAS_LIMIT, FakeQuantize, QuantizedLayer
from edgewise.quant.scheme import IntType, Scheme

UINT8 = IntType(8, signed=False)
WEIGHTS = Scheme().weights


def source(low: float = -1.0, high: float = 3.0) -> FakeQuantize:
    return FakeQuantize(UINT8, *affine_parameters(low, high, UINT8))


def linear(weight: list[list[float]], bias: list[float] | None) -> WeightedLayer:
    return WeightedLayer(
        Form("linear", "fc", {}),
        nn.Parameter(torch.tensor(weight)),
        None if bias is None else nn.Parameter(torch.tensor(bias)),
    )


def test_rounding_an_activation_twice_changes_nothing() -> None:
    quantizer = source()
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    once = quantizer(values)
    assert torch.equal(quantizer(once), once)
    low, high = quantizer.bounds
    assert float(once.min()) >= low
    assert float(once.max()) <= high
    assert torch.equal(quantizer.codes(once), quantizer.codes(values))


def test_the_bounds_are_the_values_of_the_last_codes() -> None:
    quantizer = source()
    low, high = quantizer.bounds
    assert quantizer.codes(torch.tensor([low, high])).tolist() == [0, 255]
    assert quantizer.codes(torch.tensor([low - 1, high + 1])).tolist() == [0, 255]


def test_weights_are_half_a_step_from_the_float_ones_at_most() -> None:
    torch.manual_seed(0)
    layer = WeightedLayer(
        Form("conv2d", "c", {"groups": 2}), nn.Parameter(torch.randn(4, 3, 3, 3)), None
    )
    made = QuantizedLayer.of(layer, WEIGHTS, source())
    assert made.weight_codes.dtype == torch.int8
    assert int(made.weight_codes.min()) >= -127
    error = (made.weight() - layer.weight).abs()
    assert (error <= made.scale.view(-1, 1, 1, 1) * 0.50001).all()
    assert made.bias_codes is None


def test_batch_norm_is_folded_before_weights_are_rounded() -> None:
    torch.manual_seed(0)
    layer = WeightedLayer(Form("conv2d", "c", {}), nn.Parameter(torch.randn(4, 3, 1, 1)), None)
    layer.batch_norm = nn.BatchNorm2d(4).eval()
    nn.init.uniform_(layer.batch_norm.weight, 0.1, 5)
    nn.init.normal_(layer.batch_norm.bias)
    made = QuantizedLayer.of(layer, WEIGHTS, source())
    weight, bias = layer.folded()
    assert bias is not None
    assert made.bias_codes is not None
    assert torch.allclose(made.weight(), weight, atol=float(made.scale.max()) / 1.99)
    rounded = made.bias_codes.double() * made.step.double()
    assert ((rounded - bias.double()).abs() <= made.step.double() * 0.5001).all()


def test_the_accumulator_is_the_integer_sum() -> None:
    draw = np.random.default_rng(0)
    layer = linear(draw.normal(size=(3, 5)).tolist(), [0.5, -2.0, 7.0])
    made = QuantizedLayer.of(layer, WEIGHTS, source())
    codes = draw.integers(0, 256, (4, 5)) - int(source().zero_point)
    assert made.bias_codes is not None
    weights = made.weight_codes.numpy().astype(np.int64)
    expected = codes @ weights.T + made.bias_codes.numpy().astype(np.int64)
    assert made.accumulate(torch.from_numpy(codes)).tolist() == expected.tolist()


def test_the_simulation_is_the_accumulator_times_its_step() -> None:
    torch.manual_seed(1)
    quantizer = source()
    made = QuantizedLayer.of(
        linear(torch.randn(3, 5).tolist(), [1.0, 2.0, 3.0]), WEIGHTS, quantizer
    )
    codes = quantizer.codes(torch.randn(6, 5)) - quantizer.zero_point
    values = codes * quantizer.scale
    exact = made.accumulate(codes) * made.step.double()
    assert torch.allclose(made(values).double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [1e4, -1e6, 1e12])
def test_a_bias_far_above_its_weights_still_fits_the_accumulator(bias: float) -> None:
    made = QuantizedLayer.of(linear([[1e-9, -1e-9], [0.5, 0.25]], [bias, 0.1]), WEIGHTS, source())
    assert made.bias_codes is not None
    assert int(made.bias_codes.abs().max()) < BIAS_LIMIT
    assert float(made.bias_codes[0] * made.step[0]) == pytest.approx(bias, rel=1e-5)
    alone = QuantizedLayer.of(linear([[0.5, 0.25]], [0.1]), WEIGHTS, source())
    assert torch.equal(made.weight_codes[1], alone.weight_codes[0])


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_few_bits_use_few_codes(bits: int) -> None:
    torch.manual_seed(bits)
    kind = Scheme(weight_bits=bits).weights
    made = QuantizedLayer.of(linear(torch.randn(9, 40).tolist(), None), kind, source())
    assert made.weight_codes.min() >= kind.low
    assert made.weight_codes.max() <= kind.high
    reached = (made.weight_codes == kind.low) | (made.weight_codes == kind.high)
    assert bool(reached.any(1).all()), "the largest weight of a channel has an outermost code"
