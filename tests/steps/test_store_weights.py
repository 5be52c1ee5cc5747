from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgewise.data.preprocess import natural
from edgewise.errors import RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32
from edgewise.progress import silent
from edgewise.quant.stored import StoredLayer
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.store_weights import StoreWeights


def stored(network: Network) -> dict[str, StoredLayer]:
    return {
        layer.form.path: layer
        for layer in network.module.modules()
        if isinstance(layer, StoredLayer)
    }


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_every_weight_is_the_nearest_that_a_code_stands_for(
    bits: int, tiny_network: Network
) -> None:
    before = {layer.form.path: layer.folded() for _, layer in tiny_network.layers()}
    layers = stored(StoreWeights(bits).apply(tiny_network.copy(), None, silent))
    assert layers.keys() == before.keys()
    for path, layer in layers.items():
        weight, bias = before[path]
        scale = layer.form.per_channel(layer.scale, weight.ndim)
        steps = torch.arange(layer.kind.low, layer.kind.high + 1).view(-1, *[1] * weight.ndim)
        nearest = (steps * scale - weight).abs().min(0).values
        assert torch.allclose((layer.weight() - weight).abs(), nearest, atol=1e-7)
        assert layer.kind.low <= int(layer.weight_codes.min())
        assert int(layer.weight_codes.max()) <= layer.kind.high
        assert (layer.bias is None) == (bias is None)
        if bias is not None and layer.bias is not None:
            assert torch.equal(layer.bias, bias)


@pytest.mark.parametrize("folds", [True, False])
def test_the_network_computes_in_float_with_those_weights(
    folds: bool, captured: Callable[[str], Network], tiny_images: Tensor
) -> None:
    steps = (Fold(), StoreWeights()) if folds else (StoreWeights(),)
    made = Recipe("x", steps).apply(captured("plain")).network
    floats = FLOAT32.apply(captured("plain")).network
    with torch.no_grad():
        ours, whole = made(tiny_images), floats(tiny_images)
        for node, layer in floats.layers():
            # Not in place: a layer without BatchNorm shares its weights with the captured network.
            layer.weight = nn.Parameter(stored(made)[layer.form.path].weight())
            assert node.op == "call_module"
        assert torch.equal(ours, floats(tiny_images))
    assert 0 < float((ours - whole).abs().max()) < 0.02 * float(whole.abs().max())


def test_weights_that_codes_hold_exactly_are_kept() -> None:
    module = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[127.0, 3, -127], [0, 0, 0]]).view(2, 3, 1, 1) / 64)
    (layer,) = stored(
        StoreWeights().apply(capture(module, natural((3, 8, 8))), None, silent)
    ).values()
    assert torch.equal(layer.weight(), module.weight)


@pytest.mark.parametrize("bits", [0, 1, 5, 16, -8])
def test_widths_that_are_not_offered_are_refused_when_it_is_made(bits: int) -> None:
    with pytest.raises(RecipeError, match="bits are not offered"):
        StoreWeights(bits)
