"""Convolutions in parts of their output channels: the same answers, and one layer to everyone."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from target_recipes import W4A4, W4A8, narrow
from torch import Tensor, nn

from edgewise.data.random import load_random
from edgewise.errors import ExportError
from edgewise.graph.capture import capture
from edgewise.graph.layer import Form
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.scheme import IntType
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.onnx import parts, session
from edgewise.targets.onnx.audit import audit
from edgewise.targets.onnx.builder import Dialect
from edgewise.targets.onnx.inspect import inspect_artifact
from edgewise.targets.onnx.kernels import AMX, PLAIN
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import Written, write


class Large(nn.Module):
    """A convolution of as many weights as a test can afford, between two small ones."""

    def __init__(self, after: nn.Module, **options: Any) -> None:
        super().__init__()
        self.before, self.large = nn.Conv2d(4, 16, 1), nn.Conv2d(16, 192, 3, **options)
        self.after, self.last = after, nn.Conv2d(192, 5, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.after(self.large(torch.relu(self.before(images)))))  # type: ignore[no-any-return]


class Added(Large):
    """Its result is read by two."""

    def forward(self, images: Tensor) -> Tensor:
        large = self.large(torch.relu(self.before(images)))
        return self.last(self.after(large) + large)  # type: ignore[no-any-return]


CASES: dict[str, tuple[nn.Module, Recipe]] = {
    "nothing after": (Large(nn.Identity()), INT8),
    "clipped": (Large(nn.ReLU6(), padding=1, stride=2), INT8),
    "clipped twice": (Large(nn.Sequential(nn.ReLU(), nn.ReLU6())), INT8),
    "leaky": (Large(nn.LeakyReLU(0.1), dilation=2), INT8),
    "no bias": (Large(nn.ReLU(), bias=False, padding=(0, 2)), INT8),
    "read twice": (Added(nn.ReLU()), INT8),
    "at the end": (nn.Conv2d(4, 256, 3), INT8),
    "four bits": (Large(nn.ReLU()), W4A4),
    "packed": (Large(nn.LeakyReLU(0.1)), W4A8),
    "packed closer": (Large(nn.ReLU()), narrow(2, 8)),
}


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if so few weights were too many."""
    monkeypatch.setattr(parts, "_CACHED", 5_000)
    monkeypatch.setattr(parts, "_OF_A_PART", 10_000)


def compressed(module: nn.Module, recipe: Recipe) -> Compressed:
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    data = load_random((4, 13, 15), calibration=4, test=1)
    return recipe.apply(capture(module.eval(), data.contract), data.split("calibration"))


def images(network: Network) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn((3, *network.contract.shape), generator=generator)


def answers(written: Written, values: Tensor) -> list[Any]:
    """The outputs, and the codes of every quantized tensor."""
    probe = onnx.ModelProto()
    probe.CopyFrom(written.model)
    names = list(written.codes.values())
    for name in names:
        kind = onnx.TensorProto.UINT8
        probe.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    return session.run(probe, values.numpy(), [*written.outputs, *names])


@pytest.mark.usefixtures("small_cache")
@pytest.mark.parametrize("name", CASES)
def test_codes_are_those_of_the_plain_form_to_the_bit(name: str) -> None:
    network = compressed(*CASES[name]).network
    written, expected = write(network), write(network, Dialect(kernels=PLAIN))
    assert [len(each) for each in written.parts.values()] == [2 if name == "at the end" else 3]
    assert not expected.parts
    values = images(network)
    for one, other in zip(answers(written, values), answers(expected, values), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.usefixtures("small_cache")
@pytest.mark.parametrize("name", CASES)
def test_the_layer_is_one_layer_on_integers(name: str, tmp_path: Path) -> None:
    made = compressed(*CASES[name])
    plain = write(made.network, Dialect(kernels=PLAIN))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", images(made.network))
    assert export.worst == 0
    optimized = session.optimized(plain.model, tmp_path)
    assert export.executions == audit(made.network, plain, optimized.graph)
    assert {one.operator for one in export.executions} == {"QLinearConv"}
    (tmp_path / "plain.onnx").write_bytes(plain.model.SerializeToString())
    assert inspect_artifact(tmp_path / "m.onnx") == inspect_artifact(tmp_path / "plain.onnx")
    known = {one.layer for one in export.executions}
    assert {*export.boundaries[0].after, *export.boundaries[-1].before} <= known


@pytest.mark.usefixtures("small_cache")
def test_the_file_holds_the_weights_of_a_layer_once() -> None:
    written = write(compressed(*CASES["clipped"]).network)
    (name,) = written.parts
    stored = {init.name: init for init in written.model.graph.initializer}
    assert list(stored[f"{name}.weight.codes"].dims) == [192, 16, 3, 3]
    sizes = [numpy_helper.to_array(one).nbytes for key, one in stored.items() if ".part_" in key]
    assert max(sizes) == 4 * 64, "scales and biases alone"


@pytest.mark.usefixtures("small_cache")
def test_no_part_may_run_in_float(tmp_path: Path) -> None:
    network = compressed(*CASES["clipped"]).network
    written = write(network)
    (names,) = written.parts.values()
    graph = written.model.graph
    (weight,) = (node for node in graph.node if node.output[0] == f"{names[2]}.weight")
    graph.node.remove(weight)
    floats = np.ones((64, 16, 3, 3), np.float32)
    graph.initializer.append(numpy_helper.from_array(floats, f"{names[2]}.weight"))
    optimized = session.optimized(written.model, tmp_path)
    with pytest.raises(ExportError, match="would run large in float"):
        audit(network, written, optimized.graph)


@pytest.mark.usefixtures("small_cache")
@pytest.mark.parametrize("recipe", [FLOAT32, INT8_WEIGHTS, INT8_DYNAMIC], ids=lambda one: one.name)
def test_layers_without_codes_on_both_sides_are_left_alone(recipe: Recipe) -> None:
    network = compressed(Large(nn.ReLU()), recipe).network
    assert write(network).model == write(network, Dialect(kernels=PLAIN)).model


@pytest.mark.usefixtures("small_cache")
def test_weights_laid_out_for_amx_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    network = compressed(nn.Sequential(nn.Conv2d(4, 128, 1), nn.Conv2d(128, 64, 3)), INT8).network
    monkeypatch.setattr(parts, "_TOGETHER", 32)
    assert len(write(network).parts) == 1
    assert not write(network, Dialect(kernels=AMX)).parts


def quantized(shape: tuple[int, ...], kind: str = "conv2d", groups: int = 1) -> QuantizedLayer:
    int8 = IntType(8, True)
    source = FakeQuantize(int8, torch.tensor(1.0), torch.tensor(0.0))
    codes = torch.zeros(1, dtype=torch.int8).expand(shape)
    form = Form(kind, "layer", {"groups": groups})
    return QuantizedLayer(form, int8, source, (codes, torch.ones(shape[0])), None)


@pytest.mark.parametrize(
    ("shape", "positions", "count"),
    [
        ((1024, 512, 3, 3), 169, 4),
        ((512, 512, 3, 3), 49, 2),
        ((512, 512, 3, 3), 16, 1),
        ((512, 256, 3, 3), 676, 1),
        ((2048, 1024, 1, 1), 49, 1),
        ((1000, 512, 3, 3), 169, 1),
        ((320, 2048, 3, 3), 169, 5),
        ((64, 8192, 3, 3), 169, 1),
    ],
)
def test_parts_are_as_many_as_leave_each_in_a_cache(
    shape: tuple[int, ...], positions: int, count: int
) -> None:
    assert parts.count_parts(quantized(shape), positions) == count


def test_other_layers_have_one_part() -> None:
    assert parts.count_parts(quantized((1024, 512, 3, 3), groups=2), 169) == 1
    assert parts.count_parts(quantized((4096, 4096), "linear"), 1) == 1


def test_names_tell_which_layer_a_part_is_of() -> None:
    first, *further = parts.names_of_parts("body_0", 12)
    assert parts.layer_of("body_0") == parts.layer_of(first) == "body_0"
    assert {parts.layer_of(name) for name in further} == {None}
