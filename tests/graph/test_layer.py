from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgewise.graph.layer import Form, WeightedLayer, as_depthwise, batch_norm_affine

GEOMETRY: Mapping[str, Any] = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}


def norm(channels: int, affine: bool = True) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels, affine=affine).eval()
    assert made.running_mean is not None
    assert made.running_var is not None
    made.running_mean.normal_()
    made.running_var.uniform_(1e-6, 4.0)
    if affine:
        nn.init.normal_(made.weight)
        nn.init.normal_(made.bias)
    return made


def layer(kind: str, groups: int, bias: bool) -> WeightedLayer:
    shape = (6, 4 // groups, 3, 3) if kind == "conv2d" else (4, 6 // groups, 3, 3)
    form = Form(kind, "x", {**GEOMETRY, "groups": groups})
    weight = nn.Parameter(torch.randn(shape))
    return WeightedLayer(form, weight, nn.Parameter(torch.randn(6)) if bias else None)


def doubled(layer: WeightedLayer, images: Tensor) -> Tensor:
    """Layer and BatchNorm in float64, one after the other, by their definitions."""
    bias = None if layer.bias is None else layer.bias.double()
    result = layer.form.run(images.double(), layer.weight.double(), bias)
    if (norm := layer.batch_norm) is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean.double(), norm.running_var.double()
        result = (result - mean[:, None, None]) / (variance + norm.eps).sqrt()[:, None, None]
        if norm.affine:
            scale, shift = norm.weight.double(), norm.bias.double()
            result = result * scale[:, None, None] + shift[:, None, None]
    return result


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "groups"), [("conv2d", 1), ("conv2d", 2), ("conv_transpose2d", 1)]
)
def test_folding_is_exact_but_for_one_rounding_to_float32(
    kind: str, groups: int, bias: bool, affine: bool
) -> None:
    torch.manual_seed(0)
    made = layer(kind, groups, bias)
    made.batch_norm = norm(6, affine)
    images = torch.randn(3, 4, 7, 5)
    weight, shift = made.folded()
    assert shift is not None
    assert weight.dtype == shift.dtype == torch.float32
    folded = made.form.run(images.double(), weight.double(), shift.double())
    truth = doubled(made, images)
    bound = made.form.run(images.double().abs(), weight.double().abs(), shift.double().abs())
    assert ((folded - truth).abs() <= bound * 2.0**-24 * 1.01).all()


def test_without_batch_norm_folding_gives_the_very_weights() -> None:
    made = layer("conv2d", 1, bias=True)
    weight, bias = made.folded()
    assert torch.equal(weight, made.weight)
    assert bias is not None
    assert made.bias is not None
    assert torch.equal(bias, made.bias)
    assert not weight.requires_grad
    assert layer("conv2d", 1, bias=False).folded()[1] is None


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_alone_is_a_depthwise_convolution(affine: bool) -> None:
    torch.manual_seed(1)
    alone = norm(5, affine)
    made = as_depthwise(alone, "some.norm")
    images = torch.randn(2, 5, 3, 4)
    assert made.form.path == "some.norm"
    assert made.form.geometry["groups"] == 5
    assert torch.allclose(made(images), alone(images), rtol=1e-5, atol=1e-6)
    scale, shift = batch_norm_affine(alone)
    exact = images.double() * scale[:, None, None] + shift[:, None, None]
    assert torch.allclose(made(images).double(), exact, rtol=1e-6, atol=1e-6)


def test_values_by_channel_broadcast_along_the_output_axis() -> None:
    values = torch.arange(6.0)
    conv, transposed = layer("conv2d", 1, False), layer("conv_transpose2d", 1, False)
    assert conv.form.per_channel(values, 4).shape == (6, 1, 1, 1)
    assert transposed.form.per_channel(values, 4).shape == (1, 6, 1, 1)
    assert Form("linear", "", {}).per_channel(values, 2).shape == (6, 1)
