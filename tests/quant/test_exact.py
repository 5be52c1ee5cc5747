"""Sums on float32 kernels are the integers that they stand for, however large."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.graph.layer import Form, WeightedLayer
from edgewise.quant.exact import exact_sums
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.scheme import IntType

GEOMETRY = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}


def quantized(weight_codes: Tensor, bias: Tensor | None, groups: int = 1) -> QuantizedLayer:
    """A layer of exactly these codes."""
    kind = "conv2d" if weight_codes.ndim == 4 else "linear"
    form = Form(kind, "x", {**GEOMETRY, "groups": groups} if kind == "conv2d" else {})
    source = FakeQuantize(IntType(8, signed=False), torch.tensor(0.5), torch.tensor(0.0))
    float_layer = WeightedLayer(form, nn.Parameter(weight_codes.float()), None)
    layer = QuantizedLayer.of(float_layer, IntType(8, signed=True, narrow=True), source)
    layer.weight_codes = weight_codes.to(torch.int8)
    layer.bias_codes = None if bias is None else bias.to(torch.int32)
    return layer


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 29))
def test_convolutions_sum_as_numpy_does_in_int64(
    seed: int, groups: int, extreme: bool, bias_bits: int
) -> None:
    draw = np.random.default_rng(seed)
    inputs, outputs = 4, 8
    pick = (lambda low, high, size: draw.choice([low, high], size)) if extreme else draw.integers
    codes = pick(-255, 256 if not extreme else 255, (2, inputs, 5, 6))
    weights = pick(-127, 128 if not extreme else 127, (outputs, inputs // groups, 3, 3))
    bias = draw.integers(-(2**bias_bits), 2**bias_bits, outputs)
    layer = quantized(torch.from_numpy(weights), torch.from_numpy(bias), groups)
    found = exact_sums(layer, torch.from_numpy(codes).float())
    padded = np.pad(codes, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    each, out = inputs // groups, outputs // groups
    parts = [
        np.einsum(
            "nchwij,ocij->nohw",
            windows[:, g * each : (g + 1) * each],
            weights[g * out : (g + 1) * out],
        )
        for g in range(groups)
    ]
    expected = np.concatenate(parts, 1) + bias[:, None, None]
    assert np.array_equal(found.double().numpy(), expected)


@pytest.mark.parametrize(
    ("inputs", "dtype"),
    [(500, torch.float32), (520, torch.float64), (8000, torch.float64), (9000, torch.float64)],
)
def test_the_largest_sums_of_every_way_are_exact(inputs: int, dtype: torch.dtype) -> None:
    """One float32 sum holds 518 of the largest products, two parts hold 8224, float64 all."""
    weights = torch.full((2, inputs), 127)
    weights[1] *= -1
    layer = quantized(weights, None)
    found = exact_sums(layer, torch.full((3, inputs), 255.0))
    assert found.dtype == dtype
    assert found.tolist() == [[127 * 255 * inputs, -127 * 255 * inputs]] * 3


@pytest.mark.parametrize("bias", [2**24 - 1, 2**24 + 1, 2**29 + 1, -(2**29) - 1])
def test_a_bias_beyond_float32_is_not_rounded(bias: int) -> None:
    layer = quantized(torch.ones(1, 1, dtype=torch.int64), torch.tensor([bias]))
    assert exact_sums(layer, torch.ones(1, 1)).tolist() == [[1 + bias]]


def test_no_images_give_no_sums() -> None:
    layer = quantized(torch.ones(2, 3, dtype=torch.int64), torch.tensor([1, 2]))
    assert exact_sums(layer, torch.zeros(0, 3)).shape == (0, 2)
