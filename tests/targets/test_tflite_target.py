import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import ExportError, ModelError, ParityError, UsageError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Compressed, Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.store import digest_file
from edgewise.targets.table import TARGETS, target_of
from edgewise.targets.target import Export
from edgewise.targets.tflite import audit as audit_module
from edgewise.targets.tflite import target as target_module
from edgewise.targets.tflite.inspect import inspect_artifact, read_contract
from edgewise.targets.tflite.session import runner
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.targets.tflite.writer import Written, write
from edgewise.worker.runtimes import runtime_of

W4A8 = Recipe("w4a8", (Fold(), Quantize(Scheme(4, 8))))
W4A4 = Recipe("w4a4", (Fold(), Quantize(Scheme(4, 4))))
STATIC = (INT8, W4A8, W4A4)
RECIPES = tuple(
    one.placed_for("litert") for one in (FLOAT32, FP16, INT8_WEIGHTS, INT8_DYNAMIC, *STATIC)
)
Exported = Callable[[str, Recipe], tuple[Compressed, Export]]


@pytest.fixture(scope="session")
def exported_tflite(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:  # fmt: skip
    """A tiny network through a recipe into an artifact, once."""
    known: dict[tuple[str, str], tuple[Compressed, Export]] = {}
    folder = tmp_path_factory.mktemp("tflite")

    def find(name: str, recipe: Recipe) -> tuple[Compressed, Export]:
        key = (name, recipe.name)
        if key not in known:
            made = recipe.apply(captured(name), tiny_data.split("calibration"))
            path = folder / f"{name}-{recipe.name}.tflite"
            known[key] = made, made.export(LiteRtTarget(), path, tiny_images)
        return known[key]

    return find


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    made: Recipe = request.param
    return made


def run(path: Path, images: Tensor) -> Any:
    return runner(path.read_bytes())(images.numpy())[0]


def test_the_artifact_takes_any_batch_and_every_image_for_itself(
    tiny_name: str, recipe: Recipe, exported_tflite: Exported, tiny_images: Tensor
) -> None:
    _, export = exported_tflite(tiny_name, recipe)
    read = runner(export.path.read_bytes())
    (whole,) = read(tiny_images.numpy())
    assert whole.shape[0] == len(tiny_images)
    for index in (0, 5):
        (alone,) = read(tiny_images[index : index + 1].numpy())
        assert np.allclose(alone, whole[index : index + 1], rtol=1e-4, atol=1e-5)


def test_the_artifact_is_its_twin_and_the_simulation(
    tiny_name: str, recipe: Recipe, exported_tflite: Exported, tiny_images: Tensor
) -> None:
    made, export = exported_tflite(tiny_name, recipe)
    assert export.worst <= 1
    assert bool(export.checks) == recipe.quantizes
    exact = (INT8.name, W4A4.name)  # W4A8 has weights of four bits, on kernels that round twice
    if recipe.name in exact and tiny_name in ("plain", "residual", "depthwise"):
        weights = {layer.stored for layer in inspect_artifact(export.path)}
        assert "int4" in weights or all(check.off == 0 for check in export.checks)
    with torch.no_grad():
        ours = made.network(tiny_images).numpy()
    error = abs(run(export.path, tiny_images) - ours).max() / abs(ours).max()
    assert error == pytest.approx(export.float_error, abs=1e-6)
    dynamic = recipe.name == INT8_DYNAMIC.name
    assert error < (0.1 if recipe.quantizes else 0.02 if dynamic else 1e-5)


def test_every_layer_runs_as_it_is_meant(
    tiny_name: str, recipe: Recipe, exported_tflite: Exported, tiny_network: Network
) -> None:
    _, export = exported_tflite(tiny_name, recipe)
    on_integers = recipe.quantizes or recipe.name == INT8_DYNAMIC.name
    for entry in export.executions:
        assert entry.integer == entry.meant == on_integers
        plain = entry.operator.endswith("without XNNPACK")
        assert not plain or entry.operator.startswith("dynamic DEPTHWISE"), entry
    paths = [layer.form.path for _, layer in tiny_network.layers()]
    assert [one.layer for one in export.executions if one.layer != "norm"] == paths
    assert export.integer_share == float(on_integers)


def test_plain_kernels_run_the_same_file(
    tiny_name: str, recipe: Recipe, exported_tflite: Exported, tiny_images: Tensor
) -> None:
    """Another rounding within integer layers, so a few steps apart, but an artifact."""
    _, export = exported_tflite(tiny_name, recipe)
    (plain,) = runner(export.path.read_bytes(), xnnpack=False)(tiny_images.numpy())
    theirs = run(export.path, tiny_images)
    steps = 0.5 if recipe.name == W4A4.name else 0.1  # of which codes of four bits have few
    assert abs(plain - theirs).max() < steps * abs(theirs).max()


def test_the_file_says_how_images_are_prepared_and_what_it_is(
    tiny_name: str, recipe: Recipe, exported_tflite: Exported
) -> None:
    _, export = exported_tflite(tiny_name, recipe)
    assert read_contract(export.path) == natural((3, 8, 8))
    assert export.digest == digest_file(export.path)
    assert export.size_bytes == export.path.stat().st_size
    assert json.loads(json.dumps(export.to_json(), allow_nan=False))["runtime"] == "litert"
    layers = inspect_artifact(export.path)
    assert [one.operator for one in layers] == [one.operator for one in export.executions]
    stored = {one.stored for one in layers}
    wanted = {"float32": {"float32"}, "fp16": {"float16"}}.get(recipe.name, {"int8", "int4"})
    assert stored <= wanted
    activations = {"float"} if recipe.name in ("float32", "fp16", "int8-weights") else {"int8"}
    assert {one.activations for one in layers} == activations


def test_the_same_network_gives_the_same_bytes(
    recipe: Recipe, exported_tflite: Exported, make_tiny: Callable[[str], nn.Module],
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    _, export = exported_tflite("plain", recipe)
    anew = capture(make_tiny("plain"), natural((3, 8, 8)), "plain")
    made = recipe.apply(anew, tiny_data.split("calibration"))
    again = made.export(LiteRtTarget(), tmp_path / "other.tflite", tiny_images)
    assert again.path.read_bytes() == export.path.read_bytes()


def test_constants_lie_where_a_runtime_reads_them_without_a_copy(
    exported_tflite: Exported,
) -> None:
    content = exported_tflite("plain", FLOAT32)[1].path.read_bytes()
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


def test_files_shrink_to_a_half_a_quarter_and_an_eighth(tmp_path: Path, tiny_data: Dataset) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 900), nn.ReLU(), nn.Linear(900, 50))
    network = capture(module, natural((3, 8, 8)))
    sizes = []
    for one in (FLOAT32, FP16, INT8, W4A8):
        made = one.placed_for("litert").apply(network, tiny_data.split("calibration"))
        path = tmp_path / f"{one.name}.tflite"
        sizes.append(made.export(LiteRtTarget(), path, torch.randn(2, 3, 8, 8)).size_bytes)
    # Less a scale, a zero point and a bias of each output, which are as many in every form.
    assert [sizes[0] / size for size in sizes[1:]] == pytest.approx([2, 4, 8], rel=0.25)


@pytest.mark.parametrize("globs", [("head.*",), ("body.0", "head.1")])
def test_exactly_the_layers_that_globs_keep_run_in_float(
    globs: tuple[str, ...], captured: Callable[[str], Network], tiny_data: Dataset,
    tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    chosen = INT8.placed_for("litert").with_kept_float(globs)
    made = chosen.apply(captured("plain"), tiny_data.split("calibration"))
    export = made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    kept = {"head.1", "head.3"} if globs == ("head.*",) else {"body.0", "head.1"}
    assert {entry.layer for entry in export.executions if not entry.integer} == kept
    assert export.worst <= 1


class Dead(nn.Module):
    """A ReLU that nothing passes in calibration."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        nn.init.constant_(self.one.bias, -100.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        return self.two(torch.relu(self.one(images)))  # type: ignore[no-any-return]


def test_a_tensor_of_nothing_but_zeros_is_no_obstacle(
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    network = capture(Dead(), natural((3, 8, 8)))
    made = INT8.placed_for("litert").apply(network, tiny_data.split("calibration"))
    export = made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert export.worst == 0
    assert export.float_error < 0.02


def test_extreme_images_agree_too(
    tiny_name: str, exported_tflite: Exported, tiny_images: Tensor, tmp_path: Path
) -> None:
    """Far outside what calibration saw, every quantizer saturates on both sides alike."""
    made, _ = exported_tflite(tiny_name, RECIPES[4])
    far = torch.cat([tiny_images * 100, -tiny_images * 100, torch.zeros(1, 3, 8, 8)])
    assert made.export(LiteRtTarget(), tmp_path / "m.tflite", far).worst <= 1


def test_a_network_placed_for_another_runtime_is_refused(
    quantized: Callable[[str], Compressed], tiny_images: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="profile 'litert'"):
        quantized("plain").export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Changes the scale of a tensor between writing and checking, as a broken writer would."""

    def plant(name: str, factor: float) -> None:
        def writing(network: Network) -> Written:
            written = write(network)
            tensors = {one.name: one for one in written.model.subgraphs[0].tensors}
            steps = tensors[name].quantization
            steps.scale = np.float32(factor) * steps.scale
            return written

        monkeypatch.setattr(target_module, "write", writing)

    return plant


@pytest.mark.parametrize("layer", ["body_0", "body_3", "head_1", "head_3"])
def test_one_wrong_scale_is_found_blamed_on_its_layer_and_leaves_no_file(
    layer: str, exported_tflite: Exported, tiny_images: Tensor, tmp_path: Path,
    planted: Callable[[str, float], None],
) -> None:  # fmt: skip
    made, _ = exported_tflite("plain", RECIPES[4])
    planted(f"{layer}.weight", 1.1)
    path = layer.replace("_", ".")
    with pytest.raises(ParityError, match=f"codes from its integer twin at '{path}'"):
        made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["plain", "concat"])
def test_one_wrong_scale_of_a_dynamic_layer_is_found(
    name: str, exported_tflite: Exported, tiny_images: Tensor, tmp_path: Path,
    planted: Callable[[str, float], None],
) -> None:  # fmt: skip
    made, _ = exported_tflite(name, INT8_DYNAMIC)
    nodes = made.network.module.graph.nodes
    last = [node.name for node in nodes if node.op == "call_module" and isinstance(
        made.network.module.get_submodule(str(node.target)), DynamicLayer)][-1]  # fmt: skip
    planted(f"{last}.weight", 1.5)
    with pytest.raises(ParityError, match="what its codes stand for"):
        made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_would_run_in_float_is_an_error_with_its_name(
    exported_tflite: Exported, tiny_images: Tensor, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(audit_module, "INTEGERS", frozenset({schema.TensorType.FLOAT32}))
    made, _ = exported_tflite("plain", RECIPES[4])
    with pytest.raises(ExportError, match=r"run body\.0, body\.3, head\.1, head\.3 in float"):
        made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x1c\0\0\0TFL3" + b"\xff" * 99])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    for read in (inspect_artifact, read_contract):
        with pytest.raises(ModelError, match="not a TFLite model"):
            read(path)


def test_every_target_is_known_by_its_suffix_and_to_measurements() -> None:
    for kind in TARGETS.values():
        assert isinstance(target_of(Path(f"m{kind.suffix}")), kind)
        assert target_of(Path(f"model{kind.suffix}.packed")).runtime == kind.runtime
        for name in (f"model{kind.suffix}", f"a.b{kind.suffix}.packed"):
            assert runtime_of(name) == kind.runtime
    with pytest.raises(UsageError, match=r"\.onnx, \.tflite"):
        target_of(Path("m.bin"))
