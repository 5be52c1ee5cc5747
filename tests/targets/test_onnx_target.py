"""What is the ONNX target's own; see test_every_target.py for what every target promises."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from target_kinds import ONNX, Exported, Plant, multiply
from torch import Tensor

from edgewise.data.preprocess import Preprocessing, natural
from edgewise.errors import ExportError, ParityError
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.metadata import CONTRACT_KEY
from edgewise.targets.onnx import audit as audit_module
from edgewise.targets.onnx.target import OnnxTarget

OPERATORS = {True: ("QLinearConv", "QGemm"), False: ("Conv", "FusedConv", "Gemm", "FusedGemm")}


@pytest.fixture(params=ONNX.recipes, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    made: Recipe = request.param
    return made


def test_the_codes_of_layers_are_exactly_those_of_the_twin(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(ONNX, tiny_name, recipe)
    assert export.free_running == 0
    assert all(check.off == 0 for check in export.checks)


def test_every_layer_runs_by_an_operator_of_its_kind(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(ONNX, tiny_name, recipe)
    assert {entry.operator for entry in export.executions} <= {*OPERATORS[recipe.quantizes]}


def test_the_contract_is_stored_in_the_artifact_and_read_back(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(ONNX, tiny_name, recipe)
    runtime = onnxruntime.InferenceSession(export.path, providers=["CPUExecutionProvider"])
    stored = runtime.get_modelmeta().custom_metadata_map[CONTRACT_KEY]
    assert Preprocessing.from_json(json.loads(stored)) == natural((3, 8, 8))


def test_half_precision_is_half_the_weights_and_rounds_them_once(
    exported: Exported, tiny_name: str
) -> None:
    floats, halves = (
        {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
        for path in (exported(ONNX, tiny_name, made)[1].path for made in (FLOAT32, FP16))
    )
    names = [name for name in floats if name.endswith((".weight", ".bias"))]
    assert names
    for name in names:
        stored = halves[f"{name}.float16"]
        assert stored.dtype == np.float16
        assert np.array_equal(stored, floats[name].astype(np.float16))
        assert name not in halves


def test_a_wrong_weight_in_a_float_artifact_is_found(
    captured: Callable[[str], Network], tiny_images: Tensor, tmp_path: Path, plant: Plant
) -> None:
    plant(ONNX, lambda model: multiply(model, "head_3.weight", 1.01))
    with pytest.raises(ParityError, match="output differs"):
        FLOAT32.apply(captured("plain")).export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", [INT8, INT8_DYNAMIC], ids=lambda recipe: recipe.name)
def test_a_layer_that_would_run_in_float_is_an_error_with_its_name(
    recipe: Recipe, exported: Exported, tiny_images: Tensor, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made, _ = exported(ONNX, "plain", recipe)
    real = audit_module.find_operator

    def forced(graph: onnx.GraphProto, name: str, end: str | None = None) -> str:
        return "Conv" if name == "body_3" else real(graph, name, end)

    monkeypatch.setattr(audit_module, "find_operator", forced)
    with pytest.raises(ExportError, match=r"run body\.3 in float although"):
        made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


def hide_an_identity(model: onnx.ModelProto) -> None:
    """One that the runtime cannot see through, between the codes and a layer."""
    graph = model.graph
    layer = next(node for node in graph.node if node.name == "body_3")
    zero = numpy_helper.from_array(np.asarray([0, 0, 0, 0, 0, 0, 0, 0], np.int64), "none.pads")
    graph.initializer.append(zero)
    pad = onnx.helper.make_node(
        "Pad", [layer.input[0], "none.pads"], ["none"], mode="reflect", name="none"
    )
    graph.node.insert(list(graph.node).index(layer), pad)
    layer.input[0] = "none"


def test_an_activation_in_another_type_really_runs_in_float(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path, plant: Plant
) -> None:
    plant(ONNX, hide_an_identity)
    with pytest.raises(ExportError, match=r"body\.3"):
        quantized("plain").export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


def read_nothing(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "nothing"


def test_what_the_runtime_refuses_leaves_the_earlier_artifact(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path, plant: Plant
) -> None:
    path = quantized("plain").export(OnnxTarget(), tmp_path / "m.onnx", tiny_images).path
    before = path.read_bytes()
    plant(ONNX, read_nothing)
    with pytest.raises(ExportError):
        quantized("plain").export(OnnxTarget(), path, tiny_images)
    assert path.read_bytes() == before
