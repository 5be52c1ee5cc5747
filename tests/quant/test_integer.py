import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.data.preprocess import finished
from edgewise.data.splits import array_split
from edgewise.graph.capture import capture
from edgewise.graph.network import Network, module_of
from edgewise.presets import INT8
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.integer import run_twin
from edgewise.recipe import Compressed

Ints = NDArray[np.int64]


def quantize(values: NDArray[np.float32], quantizer: FakeQuantize) -> Ints:
    codes = np.rint(values / quantizer.scale.numpy()) + quantizer.zero_point.numpy()
    clipped: Ints = np.clip(codes, quantizer.kind.low, quantizer.kind.high).astype(np.int64)
    return clipped


def convolve(codes: Ints, layer: QuantizedLayer) -> Ints:
    """A convolution by its definition, one output value after the other, in int64."""
    geometry: Mapping[str, Any] = layer.form.geometry
    weights = layer.weight_codes.numpy().astype(np.int64)
    (top, left), (down, right) = geometry["padding"], geometry["stride"]
    (tall, wide), groups = geometry["dilation"], geometry["groups"]
    padded = np.pad(codes, ((0, 0), (0, 0), (top, top), (left, left)))
    channels, inner, height, width = weights.shape
    rows = (padded.shape[2] - tall * (height - 1) - 1) // down + 1
    columns = (padded.shape[3] - wide * (width - 1) - 1) // right + 1
    sums = np.zeros((len(codes), channels, rows, columns), np.int64)
    for out, row, column in itertools.product(range(channels), range(rows), range(columns)):
        first = out // (channels // groups) * inner
        window = padded[
            :, first : first + inner,
            row * down : row * down + tall * height : tall,
            column * right : column * right + wide * width : wide,
        ]  # fmt: skip
        sums[:, out, row, column] = (window * weights[out]).sum((1, 2, 3))
    return sums


def accumulate(codes: Ints, layer: QuantizedLayer) -> Ints:
    if layer.form.kind == "linear":
        sums: Ints = codes @ layer.weight_codes.numpy().astype(np.int64).T
    else:
        sums = convolve(codes, layer)
    if layer.bias_codes is not None:
        bias = layer.bias_codes.numpy().astype(np.int64)
        sums = sums + bias.reshape(1, -1, *[1] * (sums.ndim - 2))
    return sums


def requantize(sums: Ints, layer: QuantizedLayer, out: FakeQuantize) -> Ints:
    step = layer.source[0].scale.numpy() * layer.scale.numpy()
    factor = (step / out.scale.numpy()).astype(np.float32)
    scaled = sums.astype(np.float32) * factor.reshape(1, -1, *[1] * (sums.ndim - 2))
    codes = np.rint(scaled) + out.zero_point.numpy()
    clipped: Ints = np.clip(codes, out.kind.low, out.kind.high).astype(np.int64)
    return clipped


def small(module: nn.Module, seed: int) -> tuple[Network, Tensor]:
    """A module of one layer, quantized on the images that come with it."""
    draw = np.random.default_rng(seed)
    images = draw.normal(0.2, 1, (6, 4, 7, 6)).astype(np.float32)
    network = capture(module, finished((4, 7, 6)))
    made = INT8.apply(network, array_split("calibration", images, None))
    return made.network, torch.from_numpy(images)


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"bias": False}, {"padding": 1}, {"stride": 2, "padding": (1, 2)}, {"groups": 2},
        {"groups": 4, "padding": 1}, {"dilation": 2, "padding": 2}, {"stride": (1, 3)},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("activation", [None, nn.ReLU, nn.ReLU6, nn.Hardtanh])
def test_a_convolution_is_the_integer_sum_by_definition(
    settings: dict[str, Any], activation: type[nn.Module] | None
) -> None:
    torch.manual_seed(7)
    conv = nn.Conv2d(4, 8, 3, **settings)
    module = conv if activation is None else nn.Sequential(conv, activation())
    network, images = small(module, 1)
    check_one_layer(network, images, activation)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", [None, nn.ReLU])
def test_a_linear_layer_is_the_integer_sum_by_definition(
    bias: bool, activation: type[nn.Module] | None
) -> None:
    torch.manual_seed(8)
    layers = [nn.Flatten(), nn.Linear(168, 5, bias=bias)]
    module = nn.Sequential(*layers, *([] if activation is None else [activation()]))
    network, images = small(module, 2)
    check_one_layer(network, images, activation)


def check_one_layer(network: Network, images: Tensor, activation: type[nn.Module] | None) -> None:
    found = {node.name: module_of(network.module, node) for node in network.module.graph.nodes}
    first, second = (m for m in found.values() if isinstance(m, FakeQuantize))
    (layer,) = (m for m in found.values() if isinstance(m, QuantizedLayer))
    codes = quantize(images.numpy(), first)
    centred = codes - int(first.zero_point)
    if layer.form.kind == "linear":
        centred = centred.reshape(len(centred), -1)
    expected = requantize(accumulate(centred, layer), layer, second)
    bounds = {nn.ReLU: (0.0, None), nn.ReLU6: (0.0, 6.0), nn.Hardtanh: (-1.0, 1.0)}
    if activation is not None:
        low, high = bounds[activation]
        floor = quantize(np.asarray([low], np.float32), second)
        expected = np.maximum(expected, floor)
        if high is not None:
            expected = np.minimum(expected, quantize(np.asarray([high], np.float32), second))
    twin = run_twin(network.module, images)
    inputs, outputs = twin.codes.values()
    assert np.array_equal(inputs.numpy(), codes)
    assert np.array_equal(outputs.numpy(), expected)
    assert len(np.unique(expected)) > 20


def test_the_twin_and_the_simulation_differ_by_ties_alone(
    tiny_int8: Compressed, tiny_images: Tensor
) -> None:
    twin = run_twin(tiny_int8.network.module, tiny_images)
    last = list(twin.codes)[-1]
    quantizer = next(
        module_of(tiny_int8.network.module, node)
        for node in tiny_int8.network.module.graph.nodes
        if node.name == last
    )
    assert isinstance(quantizer, FakeQuantize)
    with torch.no_grad():
        simulated = quantizer.codes(tiny_int8.network(tiny_images))
    difference = (simulated - twin.codes[last]).abs()
    assert int(difference.max()) <= 1
    assert float((difference > 0).float().mean()) < 0.02


def test_forcing_its_own_codes_changes_nothing(tiny_int8: Compressed, tiny_images: Tensor) -> None:
    free = run_twin(tiny_int8.network.module, tiny_images)
    forced = run_twin(tiny_int8.network.module, tiny_images, free.codes)
    assert list(forced.off) == list(free.codes)
    assert all(int(off.max()) == 0 for off in forced.off.values())


def test_forcing_blames_the_tensor_that_is_wrong_and_no_later_one(
    quantized: Callable[[str], Compressed], tiny_images: Tensor
) -> None:
    module = quantized("residual").network.module
    free = run_twin(module, tiny_images)
    names = list(free.codes)
    for wrong in names:
        codes = {name: value.clone() for name, value in free.codes.items()}
        codes[wrong] = torch.where(codes[wrong] > 100, codes[wrong] - 9, codes[wrong] + 9)
        # What follows is recomputed from the wrong codes, as a runtime would.
        later = names.index(wrong) + 1
        codes.update(
            run_twin(module, tiny_images, dict(itertools.islice(codes.items(), later))).codes
        )
        off = run_twin(module, tiny_images, codes).off
        assert {name for name, value in off.items() if int(value.max()) > 0} == {wrong}
        assert int(off[wrong].max()) == 9
