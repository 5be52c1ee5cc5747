from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from edgewise.data.preprocess import natural
from edgewise.errors import ModelError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.progress import silent
from edgewise.steps.half import Half


def test_weights_are_rounded_to_float16_and_kept_as_float32(tiny_network: Network) -> None:
    before = {layer.form.path: layer.folded() for _, layer in tiny_network.layers()}
    made = Half().apply(tiny_network.copy(), None, silent)
    assert made.half
    assert not tiny_network.half
    for _, layer in made.layers():
        weight, bias = before[layer.form.path]
        assert layer.weight.dtype == torch.float32
        assert np.array_equal(layer.weight.numpy(), weight.numpy().astype(np.float16))
        assert (layer.bias is None) == (bias is None)
        if bias is not None and layer.bias is not None:
            assert np.array_equal(layer.bias.numpy(), bias.numpy().astype(np.float16))


def test_rounding_twice_is_rounding_once(captured: Callable[[str], Network]) -> None:
    once = Half().apply(captured("plain").copy(), None, silent)
    first = {layer.form.path: layer.weight.clone() for _, layer in once.layers()}
    for _, layer in Half().apply(once, None, silent).layers():
        assert torch.equal(layer.weight, first[layer.form.path])


@pytest.mark.parametrize("value", [65520.0, -1e6, 1e30])
def test_a_weight_that_float16_cannot_hold_is_refused_with_its_layer(value: float) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)).eval()
    part = module[1]
    assert isinstance(part, nn.Conv2d)
    part.weight.data[1, 1] = value
    with pytest.raises(ModelError, match="'1' holds weights above 65504"):
        Half().apply(capture(module, natural((3, 8, 8))), None, silent)


def test_the_largest_float16_is_kept() -> None:
    module = nn.Conv2d(3, 1, 1)
    nn.init.constant_(module.weight, 65504.0)
    made = Half().apply(capture(module, natural((3, 8, 8))), None, silent)
    (layer,) = (layer for _, layer in made.layers())
    assert float(layer.weight.max()) == 65504.0
