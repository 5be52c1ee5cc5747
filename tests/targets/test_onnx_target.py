import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing, natural
from edgewise.errors import ExportError, ParityError, StorageError, UnsupportedOpError, UsageError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, FP16, INT8, INT8_WEIGHTS
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Compressed, Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.steps.store_weights import StoreWeights
from edgewise.store import digest_file
from edgewise.targets.onnx import audit as audit_module
from edgewise.targets.onnx import target as target_module
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import CONTRACT_KEY, Written, write
from edgewise.targets.table import TARGETS, target
from edgewise.targets.target import Export

RECIPES = (
    FLOAT32, FP16, INT8_WEIGHTS, Recipe("int2-weights", (Fold(), StoreWeights(2))), INT8,
    Recipe("w4a4", (Fold(), Quantize(Scheme(4, 4)))),
)  # fmt: skip


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path: Path, images: Tensor) -> Any:
    return session(path).run(None, {"input": images.numpy()})[0]


@pytest.fixture(scope="session")
def exported(
    captured: Callable[[str], Network],
    tiny_data: Dataset,
    tiny_images: Tensor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Recipe], tuple[Compressed, Export]]:
    """A tiny network through a recipe into an artifact, once."""
    known: dict[tuple[str, str], tuple[Compressed, Export]] = {}
    folder = tmp_path_factory.mktemp("artifacts")

    def find(name: str, recipe: Recipe) -> tuple[Compressed, Export]:
        key = (name, recipe.name)
        if key not in known:
            made = recipe.apply(captured(name), tiny_data.split("calibration"))
            path = folder / f"{name}-{recipe.name}.onnx"
            known[key] = made, made.export(OnnxTarget(), path, tiny_images)
        return known[key]

    return find


Exported = Callable[[str, Recipe], tuple[Compressed, Export]]


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    made: Recipe = request.param
    return made


def test_the_artifact_loads_in_the_runtime_and_takes_any_batch(
    tiny_name: str, recipe: Recipe, exported: Exported, tiny_images: Tensor
) -> None:
    _, export = exported(tiny_name, recipe)
    whole = run(export.path, tiny_images)
    assert whole.shape[0] == len(tiny_images)
    for index in (0, 5):
        alone = run(export.path, tiny_images[index : index + 1])
        assert np.allclose(alone, whole[index : index + 1], rtol=1e-4, atol=1e-5)


def test_the_artifact_is_its_integer_twin(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(tiny_name, recipe)
    assert export.worst <= 1
    assert export.first_diverging is None
    if recipe.quantizes:
        assert export.free_running == 0
        assert all(check.off == 0 for check in export.checks)
        assert all(check.elements > 0 for check in export.checks)
    else:
        assert export.checks == ()


def test_the_artifact_is_the_simulation(
    tiny_name: str, recipe: Recipe, exported: Exported, tiny_images: Tensor
) -> None:
    made, export = exported(tiny_name, recipe)
    with torch.no_grad():
        ours = made.network(tiny_images).numpy()
    theirs = run(export.path, tiny_images)
    worst = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    assert worst == pytest.approx(export.float_error, abs=1e-6)
    assert worst < (0.1 if recipe.quantizes else 1e-5)


def test_every_layer_meant_for_integers_runs_on_them(
    tiny_name: str, recipe: Recipe, exported: Exported, tiny_network: Network
) -> None:
    _, export = exported(tiny_name, recipe)
    paths = [layer.form.path for _, layer in tiny_network.layers()]
    weighted = [entry.layer for entry in export.executions if entry.layer != "norm"]
    assert weighted == paths
    for entry in export.executions:
        assert entry.integer == entry.meant == recipe.quantizes
        assert entry.operator in (
            ("QLinearConv", "QGemm") if recipe.quantizes else ("Conv", "FusedConv", "Gemm",
                                                               "FusedGemm")
        )  # fmt: skip
    assert export.integer_share == float(recipe.quantizes)


def test_the_contract_is_stored_in_the_artifact_and_read_back(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(tiny_name, recipe)
    stored = session(export.path).get_modelmeta().custom_metadata_map[CONTRACT_KEY]
    assert Preprocessing.from_json(json.loads(stored)) == natural((3, 8, 8))


def test_the_export_says_what_was_written(
    tiny_name: str, recipe: Recipe, exported: Exported
) -> None:
    _, export = exported(tiny_name, recipe)
    assert export.digest == digest_file(export.path)
    assert export.size_bytes == export.path.stat().st_size
    stored = json.loads(json.dumps(export.to_json(), allow_nan=False))
    assert "path" not in stored
    assert stored["worst"] == export.worst
    assert stored["integer_share"] == export.integer_share
    assert len(stored["checks"]) == len(export.checks)


def test_the_same_network_gives_the_same_bytes(
    tiny_name: str, recipe: Recipe, exported: Exported, make_tiny: Callable[[str], nn.Module],
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    _, export = exported(tiny_name, recipe)
    anew = capture(make_tiny(tiny_name), natural((3, 8, 8)), tiny_name)
    made = recipe.apply(anew, tiny_data.split("calibration"))
    again = made.export(OnnxTarget(), tmp_path / "other.onnx", tiny_images)
    assert again.path.read_bytes() == export.path.read_bytes()


def test_half_precision_is_half_the_weights_and_rounds_them_once(
    exported: Exported, tiny_name: str
) -> None:
    _, half = exported(tiny_name, FP16)
    _, whole = exported(tiny_name, FLOAT32)
    floats = {init.name: numpy_helper.to_array(init)
              for init in onnx.load(whole.path).graph.initializer}  # fmt: skip
    halves = {init.name: numpy_helper.to_array(init)
              for init in onnx.load(half.path).graph.initializer}  # fmt: skip
    names = [name for name in floats if name.endswith((".weight", ".bias"))]
    assert names
    for name in names:
        stored = halves[f"{name}.float16"]
        assert stored.dtype == np.float16
        assert np.array_equal(stored, floats[name].astype(np.float16))
        assert name not in halves


def test_files_shrink_to_a_half_and_a_quarter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU())
    network = capture(module, natural((3, 8, 8)))
    images = torch.randn(2, 3, 8, 8)
    sizes = []
    for name, recipe in (("a", FLOAT32), ("b", FP16)):
        made = recipe.apply(network)
        sizes.append(made.export(OnnxTarget(), tmp_path / name, images).size_bytes)
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.02)


@pytest.mark.parametrize("globs", [("head.*",), ("body.0", "head.1")])
def test_exactly_the_layers_that_globs_keep_run_in_float(
    globs: tuple[str, ...], captured: Callable[[str], Network], tiny_data: Dataset,
    tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    recipe = INT8.with_kept_float(globs)
    made = recipe.apply(captured("plain"), tiny_data.split("calibration"))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    kept = {"head.1", "head.3"} if globs == ("head.*",) else {"body.0", "head.1"}
    assert {entry.layer for entry in export.executions if not entry.integer} == kept
    assert {entry.layer for entry in export.executions if not entry.meant} == kept
    macs = {entry.layer: entry.macs for entry in export.executions}
    share = 1 - sum(macs[layer] for layer in kept) / sum(macs.values())
    assert export.integer_share == pytest.approx(share)
    assert export.worst <= 1


class Strange(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sorter = nn.Sequential(nn.Conv2d(3, 4, 1))

    def forward(self, images: Tensor) -> Tensor:
        return torch.cumsum(self.sorter(images), 1)


def test_an_operation_without_an_onnx_form_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    network = capture(Strange(), natural((3, 8, 8)))
    with pytest.raises(UnsupportedOpError, match="cumsum"):
        FLOAT32.apply(network).export(OnnxTarget(), tmp_path / "m.onnx", torch.zeros(2, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[onnx.ModelProto], None]], None]:
    """Changes the model between writing and checking, as a broken writer or runtime would."""

    def plant(change: Callable[[onnx.ModelProto], None]) -> None:
        def writing(network: Network) -> Written:
            written = write(network)
            change(written.model)
            return written

        monkeypatch.setattr(target_module, "write", writing)

    return plant


def scales(model: onnx.ModelProto, layer: str) -> Iterator[onnx.TensorProto]:
    return (init for init in model.graph.initializer if init.name == f"{layer}.weight.scale")


@pytest.mark.parametrize("layer", ["body_0", "body_3", "head_1", "head_3"])
def test_one_wrong_scale_is_found_blamed_on_its_layer_and_leaves_no_file(
    layer: str, quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path,
    planted: Callable[[Callable[[onnx.ModelProto], None]], None],
) -> None:  # fmt: skip
    def change(model: onnx.ModelProto) -> None:
        (scale,) = scales(model, layer)
        values = numpy_helper.to_array(scale) * np.float32(1.1)
        scale.CopyFrom(numpy_helper.from_array(values, scale.name))

    planted(change)
    path = layer.replace("_", ".")
    with pytest.raises(ParityError, match="codes from its integer twin") as refused:
        quantized("plain").export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    blamed = str(refused.value).split("'")[1]
    # A fused activation bears the name of its own layer, the one after the convolution.
    after = {"body.0": "body.2", "body.3": "body.4", "head.1": "head.2", "head.3": "head.3"}
    assert blamed in (path, after[path])
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_weight_in_a_float_artifact_is_found(
    captured: Callable[[str], Network], tiny_images: Tensor, tmp_path: Path,
    planted: Callable[[Callable[[onnx.ModelProto], None]], None],
) -> None:  # fmt: skip
    def change(model: onnx.ModelProto) -> None:
        weight = next(i for i in model.graph.initializer if i.name == "head_3.weight")
        values = numpy_helper.to_array(weight) * np.float32(1.01)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    planted(change)
    with pytest.raises(ParityError, match="output differs"):
        FLOAT32.apply(captured("plain")).export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_would_run_in_float_is_an_error_with_its_name(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    real = audit_module.find_operator

    def forced(graph: onnx.GraphProto, name: str) -> str:
        return "Conv" if name == "body_3" else real(graph, name)

    monkeypatch.setattr(audit_module, "find_operator", forced)
    with pytest.raises(ExportError, match=r"run body\.3 in float although"):
        quantized("plain").export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_an_activation_in_another_type_really_runs_in_float(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path,
    planted: Callable[[Callable[[onnx.ModelProto], None]], None],
) -> None:  # fmt: skip
    def change(model: onnx.ModelProto) -> None:
        """An identity that the runtime cannot see through, between the codes and the layer."""
        graph = model.graph
        layer = next(node for node in graph.node if node.name == "body_3")
        zero = numpy_helper.from_array(np.asarray([0, 0, 0, 0, 0, 0, 0, 0], np.int64), "none.pads")
        graph.initializer.append(zero)
        pad = onnx.helper.make_node(
            "Pad", [layer.input[0], "none.pads"], ["none"], mode="reflect", name="none"
        )
        graph.node.insert(list(graph.node).index(layer), pad)
        layer.input[0] = "none"

    planted(change)
    with pytest.raises(ExportError, match=r"body\.3"):
        quantized("plain").export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_and_left_as_it_was(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StorageError, match="could not be written"):
        quantized("plain").export(OnnxTarget(), tmp_path / "file/m.onnx", tiny_images)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_export_leaves_the_earlier_artifact(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path,
    planted: Callable[[Callable[[onnx.ModelProto], None]], None],
) -> None:  # fmt: skip
    path = tmp_path / "m.onnx"
    quantized("plain").export(OnnxTarget(), path, tiny_images)
    before = path.read_bytes()

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].input[0] = "nothing"

    planted(change)
    with pytest.raises(ExportError):
        quantized("plain").export(OnnxTarget(), path, tiny_images)
    assert path.read_bytes() == before


def test_extreme_images_agree_too(
    tiny_int8: Compressed, tiny_images: Tensor, tmp_path: Path
) -> None:
    """Far outside what calibration saw, every quantizer saturates on both sides alike."""
    far = torch.cat([tiny_images * 100, -tiny_images * 100, torch.zeros(1, 3, 8, 8)])
    export = tiny_int8.export(OnnxTarget(), tmp_path / "m.onnx", far)
    assert export.worst <= 1


def test_calibration_before_folding_gives_the_same_kind_of_artifact(
    captured: Callable[[str], Network], tiny_name: str, tiny_data: Dataset, tiny_images: Tensor,
    tmp_path: Path,
) -> None:  # fmt: skip
    for steps in ((Calibrate(), Fold(), Quantize()), (Quantize(),), (Calibrate(), Quantize())):
        made = Recipe("other", steps).apply(captured(tiny_name), tiny_data.split("calibration"))
        export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
        assert export.worst <= 1
        assert export.integer_share == 1


def test_targets_are_found_by_name() -> None:
    assert isinstance(target("onnx"), OnnxTarget)
    assert set(TARGETS) == {"onnx", "tflite"}
    with pytest.raises(UsageError, match="onnx"):
        target("nothing")


def test_an_export_without_layers_has_no_share() -> None:
    export = Export(Path("x"), "r", "d", 1, 1, (), 0, 0.0, ())
    assert export.integer_share == 0
    assert export.worst == 0
    assert replace(export, images=2).to_json()["images"] == 2
