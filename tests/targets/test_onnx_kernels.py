"""Weights laid out for one processor's kernels: the same answers, to the bit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from network_parts import quantized_layers
from onnx import numpy_helper
from target_recipes import W4A8
from torch import Tensor, nn

from edgewise.data.random import load_random
from edgewise.errors import UsageError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.onnx import session
from edgewise.targets.onnx.builder import Dialect
from edgewise.targets.onnx.inspect import inspect_artifact
from edgewise.targets.onnx.kernels import AMX, KERNELS_KEY
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import write
from edgewise.targets.target import ANY

DEEP, SHALLOW = 128, 127

Make = Callable[..., nn.Module]


def one(inputs: int, **geometry: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, inputs, 1), nn.ReLU(), nn.Conv2d(inputs, 16, 3, **geometry))


def compressed(module: nn.Module, recipe: Recipe = INT8) -> Compressed:
    torch.manual_seed(0)
    data = load_random((3, 9, 7), calibration=4, test=1)
    return recipe.apply(capture(module.eval(), data.contract), data.split("calibration"))


def images(network: Network) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn((3, *network.contract.shape), generator=generator)


def weights(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto, onnx.TensorProto]]:
    """Layers with their codes as stored and their zero points."""
    stored = {init.name: init for init in model.graph.initializer}
    for name, codes in stored.items():
        layer = name.removesuffix(".weight.codes")
        if layer != name:
            yield layer, codes, stored[f"{layer}.weight.zero_point"]


@pytest.mark.parametrize(
    "geometry",
    [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "bias": False}],
    ids=lambda geometry: "-".join(geometry) or "plain",
)
def test_deep_layers_are_moved_by_one_code_and_compute_the_same(geometry: dict[str, int]) -> None:
    network = compressed(one(DEEP, **geometry)).network
    plain, moved = write(network), write(network, Dialect(kernels=AMX))
    expected = {name: layer.weight_codes.numpy() for name, layer in
                quantized_layers(network).items()}  # fmt: skip
    found = {name: (numpy_helper.to_array(codes), numpy_helper.to_array(zero)) for
             name, codes, zero in weights(moved.model)}  # fmt: skip
    zeros = {name: set(zero.tolist()) for name, (_, zero) in found.items()}
    assert sorted(zeros.values(), key=str) == [{-1}, {0}], "the second layer's alone"
    for name, (codes, zero) in found.items():
        kept = codes.astype(np.int16) - zero[:, None, None, None].astype(np.int16)
        assert np.array_equal(kept, expected[name])
    values = images(network).numpy()
    (ours,), (theirs,) = (session.run(each.model, values, each.outputs) for each in (moved, plain))
    assert np.array_equal(ours, theirs)
    assert len(np.unique(ours)) > 20, "not all clipped"


OTHERS: dict[str, tuple[Make, Recipe]] = {
    "fewer channels": (lambda: one(SHALLOW), INT8),
    "groups": (lambda: one(DEEP, groups=2), INT8),
    "packed": (lambda: one(DEEP), W4A8),
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(189, 8)), INT8),
    "float": (lambda: one(DEEP), FLOAT32),
    "stored": (lambda: one(DEEP), INT8_WEIGHTS),
    "dynamic": (lambda: one(DEEP), INT8_DYNAMIC),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers_are_left_alone(name: str) -> None:
    make, recipe = OTHERS[name]
    network = compressed(make(), recipe).network
    assert write(network, Dialect(kernels=AMX)).model.graph == write(network).model.graph


def test_a_layer_with_no_code_to_spare_is_left_alone() -> None:
    network = compressed(one(DEEP)).network
    deep = max(quantized_layers(network).values(), key=lambda layer: layer.weight_codes.numel())
    deep.weight_codes.view(-1)[0] = -128
    assert write(network, Dialect(kernels=AMX)).model.graph == write(network).model.graph


def test_the_artifact_is_verified_and_says_what_it_is_for(tmp_path: Path) -> None:
    made = compressed(one(DEEP))
    path = tmp_path / "m.onnx"
    export = made.export(OnnxTarget(AMX), path, images(made.network))
    assert [each.operator for each in export.executions] == ["QLinearConv"] * 2
    assert export.worst == 0
    assert OnnxTarget().texts(path)[KERNELS_KEY] == '"amx"'
    assert [each.stored for each in inspect_artifact(path)] == ["int8", "int8"]
    made.export(OnnxTarget(), path, images(made.network))
    assert KERNELS_KEY not in OnnxTarget().texts(path)


def test_kernels_are_known() -> None:
    assert (OnnxTarget().kernels, OnnxTarget(AMX).kernels) == (ANY, AMX)
    with pytest.raises(UsageError, match="no kernels 'neon'; known: any, amx"):
        OnnxTarget("neon")
