import math
from collections.abc import Callable, Iterator

import pytest
import torch
from network_parts import Values
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.graph.network import Network, module_of
from edgewise.presets import FLOAT32, INT8
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Compressed, Recipe
from edgewise.sensitivity.noise import LayerNoise, layer_noise
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize


def noise(network: Network, compressed: Compressed, images: Tensor) -> dict[str, LayerNoise]:
    found = layer_noise(FLOAT32.apply(network).network, compressed.network, images)
    return {one.layer: one for one in found}


def decibels(truth: Tensor, noisy: Tensor) -> float:
    signal = truth.double().square().sum()
    return 10 * math.log10(float(signal / (truth.double() - noisy.double()).square().sum()))


def test_every_integer_layer_is_listed_in_order_with_its_weights(
    tiny_network: Network, tiny_int8: Compressed, tiny_images: Tensor
) -> None:
    found = noise(tiny_network, tiny_int8, tiny_images)
    layers = {layer.form.path: layer.weight.numel() for _, layer in
              Fold().apply(tiny_network.copy(), None, lambda *_: None).layers()}  # fmt: skip
    assert {path: one.parameters for path, one in found.items()} == layers
    assert list(found) == list(layers)


def test_eight_bits_leave_little_noise_and_the_first_layer_none_from_before(
    tiny_network: Network, tiny_int8: Compressed, tiny_images: Tensor
) -> None:
    found = list(noise(tiny_network, tiny_int8, tiny_images).values())
    assert all(15 < one.accumulated_sqnr_db < 80 for one in found)
    assert all(15 < one.alone_sqnr_db < 80 for one in found)
    assert found[0].alone_sqnr_db == pytest.approx(found[0].accumulated_sqnr_db, abs=1e-6)


def quantizers_after(network: Network) -> Iterator[tuple[str, str, str]]:
    """Layer, its quantizer, and the float node that the quantizer rounds; past a ReLU."""
    for node in network.module.graph.nodes:
        layer = module_of(network.module, node)
        if isinstance(layer, QuantizedLayer):
            current = node
            while not isinstance(module_of(network.module, current), FakeQuantize):
                (current,) = current.users
            yield layer.form.path, current.name, current.all_input_nodes[0].name


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "concat", "leaky"])
def test_accumulated_noise_is_by_definition(
    name: str, captured: Callable[[str], Network], quantized: Callable[[str], Compressed],
    tiny_images: Tensor,
) -> None:  # fmt: skip
    found = noise(captured(name), quantized(name), tiny_images)
    floats = Values(FLOAT32.apply(captured(name)).network, tiny_images)
    simulated = Values(quantized(name).network, tiny_images)
    for path, quantizer, rounded in quantizers_after(quantized(name).network):
        expected = decibels(floats[rounded], simulated[quantizer])
        assert found[path].accumulated_sqnr_db == pytest.approx(expected, abs=1e-3)


def test_a_layers_own_noise_is_by_definition(
    captured: Callable[[str], Network], quantized: Callable[[str], Compressed], tiny_images: Tensor
) -> None:
    """The second convolution of `plain`, computed by hand from the float network's values."""
    found = noise(captured("plain"), quantized("plain"), tiny_images)["body.3"]
    network = quantized("plain").network
    floats = Values(FLOAT32.apply(captured("plain")).network, tiny_images)
    module = network.module
    nodes = {node.name: node for node in module.graph.nodes}
    layer = module_of(module, nodes["body_3"])
    assert isinstance(layer, QuantizedLayer)
    (relu,) = nodes["body_3"].users
    (after,) = relu.users
    quantizer = module_of(module, after)
    assert isinstance(quantizer, FakeQuantize)
    with torch.no_grad():
        rounded = layer.source[0](floats["relu"])
        alone = quantizer(torch.relu(layer(rounded)))
    assert found.alone_sqnr_db == pytest.approx(decibels(floats[relu.name], alone), abs=1e-3)


def test_fewer_bits_make_every_layer_noisier(
    captured: Callable[[str], Network], quantized: Callable[[str], Compressed], tiny_data: Dataset,
    tiny_images: Tensor,
) -> None:  # fmt: skip
    few = Recipe("w4a4", (Fold(), Quantize(Scheme(4, 4)))).apply(
        captured("residual"), tiny_data.split("calibration")
    )
    coarse = noise(captured("residual"), few, tiny_images)
    fine = noise(captured("residual"), quantized("residual"), tiny_images)
    for path, one in fine.items():
        assert coarse[path].alone_sqnr_db < one.alone_sqnr_db - 10


def test_layers_kept_in_float_are_not_listed(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    made = INT8.with_kept_float(("head",)).apply(captured("plain"), tiny_data.split("calibration"))
    found = noise(captured("plain"), made, tiny_images)
    assert list(found) == ["body.0", "body.3"]
    assert {one.region for one in found.values()} == {"body"}


def test_a_layer_that_gives_nothing_but_zeros_has_no_noise(
    captured: Callable[[str], Network], quantized: Callable[[str], Compressed], tiny_images: Tensor
) -> None:
    found = noise(captured("plain"), quantized("plain"), tiny_images * 0)
    assert all(-50 < one.alone_sqnr_db <= 150 for one in found.values())
