"""What is the TFLite target's own; see test_every_target.py for what every target promises."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from target_kinds import TFLITE, Exported, Plant
from target_recipes import W4A4
from torch import Tensor

from edgewise.errors import ExportError, ModelError, ParityError
from edgewise.graph.network import module_of
from edgewise.presets import FLOAT32, INT8, INT8_DYNAMIC
from edgewise.quant.dynamic import DynamicLayer
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.tflite import audit as audit_module
from edgewise.targets.tflite.inspect import inspect_artifact, read_texts
from edgewise.targets.tflite.target import LiteRtTarget


@pytest.fixture(params=TFLITE.recipes, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    made: Recipe = request.param
    return made


# W4A8 has weights of four bits, on kernels that round twice.
@pytest.mark.parametrize("recipe", [INT8, W4A4], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("name", ["plain", "residual", "depthwise"])
def test_the_codes_of_layers_are_exactly_those_of_the_twin(
    name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(TFLITE, name, recipe)
    weights = {layer.stored for layer in inspect_artifact(export.path)}
    assert "int4" in weights or all(check.off == 0 for check in export.checks)


def test_every_layer_but_a_dynamic_depthwise_one_runs_on_fast_kernels(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(TFLITE, tiny_name, recipe)
    for entry in export.executions:
        plain = entry.operator.endswith("without XNNPACK")
        assert not plain or entry.operator.startswith("dynamic DEPTHWISE"), entry


def test_plain_kernels_run_the_same_file(
    tiny_name: str, recipe: Recipe, exported: Exported, tiny_images: Tensor
) -> None:
    """Another rounding within integer layers, so a few steps apart, but an artifact."""
    _, export = exported(TFLITE, tiny_name, recipe)
    plain = TFLITE.load_plainly(export.path)(tiny_images)
    theirs = TFLITE.load(export.path)(tiny_images)
    steps = 0.5 if recipe.name == W4A4.name else 0.1  # of which codes of four bits have few
    assert abs(plain - theirs).max() < steps * abs(theirs).max()


def test_the_file_says_what_is_stored_and_what_layers_read(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    layers = inspect_artifact(exported(TFLITE, tiny_name, recipe)[1].path)
    stored = {one.stored for one in layers}
    wanted = {"float32": {"float32"}, "fp16": {"float16"}}.get(recipe.name, {"int8", "int4"})
    assert stored <= wanted
    activations = {"float"} if recipe.name in ("float32", "fp16", "int8-weights") else {"int8"}
    assert {one.activations for one in layers} == activations


def test_constants_lie_where_a_runtime_reads_them_without_a_copy(exported: Exported) -> None:
    content = exported(TFLITE, "plain", FLOAT32)[1].path.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    found = 0
    for index in range(model.BuffersLength()):
        data = model.Buffers(index).DataAsNumpy()
        if isinstance(data, np.ndarray) and data.size:
            found += 1
            address = data.__array_interface__["data"][0]
            start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
            assert (address - start) % 16 == 0
    assert found > 4


def test_a_network_placed_for_another_runtime_is_refused(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="profile 'litert'"):
        quantized("plain").export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["plain", "concat"])
def test_one_wrong_scale_of_a_dynamic_layer_is_found(
    name: str, exported: Exported, tiny_images: Tensor, tmp_path: Path, plant: Plant
) -> None:
    made, _ = exported(TFLITE, name, INT8_DYNAMIC)
    module = made.network.module
    nodes = module.graph.nodes
    last = [one.name for one in nodes if isinstance(module_of(module, one), DynamicLayer)][-1]
    plant(TFLITE, lambda model: TFLITE.multiply_scale(model, last, 1.5))
    with pytest.raises(ParityError, match="what its codes stand for"):
        made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_would_run_in_float_is_an_error_with_its_name(
    exported: Exported, tiny_images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = exported(TFLITE, "plain", INT8)
    monkeypatch.setattr(audit_module, "INTEGERS", frozenset({schema.TensorType.FLOAT32}))
    with pytest.raises(ExportError, match=r"run body\.0, body\.3, head\.1, head\.3 in float"):
        made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x1c\0\0\0TFL3" + b"\xff" * 99])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    for read in (inspect_artifact, read_texts):
        with pytest.raises(ModelError, match="not a TFLite model"):
            read(path)
