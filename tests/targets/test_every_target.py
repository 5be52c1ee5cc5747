"""What every target promises, with each of its recipes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from target_kinds import CASES, KINDS, ONNX, TFLITE, Case, Exported, Kind, Plant, case_name
from target_networks import Dead, Summed
from target_recipes import W4A8
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import ParityError, StorageError, UnsupportedOpError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.store import digest_file
from edgewise.targets.table import TARGETS


def test_the_kinds_are_all_targets() -> None:
    assert [type(kind.target) for kind in KINDS] == list(TARGETS.values())


def test_the_artifact_takes_any_batch_and_every_image_for_itself(
    tiny_name: str, case: Case, exported: Exported, tiny_images: Tensor
) -> None:
    _, export = exported(case[0], tiny_name, case[1])
    run = case[0].load(export.path)
    whole = run(tiny_images)
    assert whole.shape[0] == len(tiny_images)
    for index in (0, 5):
        alone = run(tiny_images[index : index + 1])
        assert np.allclose(alone, whole[index : index + 1], rtol=1e-4, atol=1e-5)


def test_the_artifact_is_its_twin_and_the_simulation(
    tiny_name: str, case: Case, exported: Exported, tiny_images: Tensor
) -> None:
    kind, recipe = case
    made, export = exported(kind, tiny_name, recipe)
    assert export.worst <= 1
    assert export.first_diverging is None
    assert bool(export.checks) == recipe.quantizes
    assert all(check.elements > 0 for check in export.checks)
    with torch.no_grad():
        ours = made.network(tiny_images).numpy()
    error = abs(kind.load(export.path)(tiny_images) - ours).max() / abs(ours).max()
    assert error == pytest.approx(export.float_error, abs=1e-6)
    dynamic = recipe.name == INT8_DYNAMIC.name
    assert error < (0.1 if recipe.quantizes else 0.02 if dynamic else 1e-5)


def test_every_layer_runs_as_it_is_meant(
    tiny_name: str, case: Case, exported: Exported, tiny_network: Network
) -> None:
    _, export = exported(case[0], tiny_name, case[1])
    on_integers = case[1].quantizes or case[1].name == INT8_DYNAMIC.name
    assert all(entry.integer == entry.meant == on_integers for entry in export.executions)
    paths = [layer.form.path for _, layer in tiny_network.layers()]
    assert [entry.layer for entry in export.executions if entry.layer != "norm"] == paths
    assert export.integer_share == float(on_integers)


def test_the_export_and_the_file_say_what_was_written(
    tiny_name: str, case: Case, exported: Exported
) -> None:
    kind, recipe = case
    _, export = exported(kind, tiny_name, recipe)
    assert kind.target.contract(export.path) == natural((3, 8, 8))
    assert export.digest == digest_file(export.path)
    assert export.size_bytes == export.path.stat().st_size
    stored = json.loads(json.dumps(export.to_json(), allow_nan=False))
    assert "path" not in stored
    assert stored["runtime"] == kind.target.runtime
    assert stored["worst"] == export.worst
    assert stored["integer_share"] == export.integer_share
    assert len(stored["checks"]) == len(export.checks)
    layers = kind.target.inspect(export.path)
    assert [one.operator for one in layers] == [one.operator for one in export.executions]


@pytest.mark.parametrize("case", [*CASES, (ONNX, INT8_DYNAMIC)], ids=case_name)
def test_the_same_network_gives_the_same_bytes(
    tiny_name: str, case: Case, exported: Exported, make_tiny: Callable[[str], nn.Module],
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    kind, recipe = case
    _, export = exported(kind, tiny_name, recipe)
    anew = capture(make_tiny(tiny_name), natural((3, 8, 8)), tiny_name)
    made = kind.place(recipe).apply(anew, tiny_data.split("calibration"))
    again = made.export(kind.target, tmp_path / f"other{kind.target.suffix}", tiny_images)
    assert again.path.read_bytes() == export.path.read_bytes()


@pytest.mark.parametrize("globs", [("head.*",), ("body.0", "head.1")])
def test_exactly_the_layers_that_globs_keep_run_in_float(
    globs: tuple[str, ...], kind: Kind, captured: Callable[[str], Network], tiny_data: Dataset,
    tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    recipe = kind.place(INT8).with_kept_float(globs)
    made = recipe.apply(captured("plain"), tiny_data.split("calibration"))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    kept = {"head.1", "head.3"} if globs == ("head.*",) else {"body.0", "head.1"}
    assert {entry.layer for entry in export.executions if not entry.integer} == kept
    assert {entry.layer for entry in export.executions if not entry.meant} == kept
    macs = {entry.layer: entry.macs for entry in export.executions}
    share = 1 - sum(macs[layer] for layer in kept) / sum(macs.values())
    assert export.integer_share == pytest.approx(share)
    assert export.worst <= 1


def test_files_shrink_to_a_half_a_quarter_and_an_eighth(
    kind: Kind, tiny_data: Dataset, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(1024, 200), nn.ReLU(), nn.Linear(200, 50),
    )  # fmt: skip
    network = capture(module, natural((3, 8, 8)))
    sizes = []
    for one in (FLOAT32, FP16, INT8, W4A8):
        made = kind.place(one).apply(network, tiny_data.split("calibration"))
        path = tmp_path / f"{one.name}{kind.target.suffix}"
        sizes.append(made.export(kind.target, path, torch.randn(2, 3, 8, 8)).size_bytes)
    assert sizes[0] / sizes[1] == pytest.approx(2, rel=0.02)
    # Less a scale, a zero point and a bias of each output, which are as many in every form.
    assert [sizes[0] / size for size in sizes[2:]] == pytest.approx([4, 8], rel=0.25)


def test_a_tensor_of_nothing_but_zeros_is_no_obstacle(
    kind: Kind, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    network = capture(Dead(), natural((3, 8, 8)))
    made = kind.place(INT8).apply(network, tiny_data.split("calibration"))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert export.worst == 0
    assert export.float_error < 0.02


def test_extreme_images_agree_too(
    kind: Kind, tiny_name: str, exported: Exported, tiny_images: Tensor, tmp_path: Path
) -> None:
    """Far outside what calibration saw, every quantizer saturates on both sides alike."""
    made, _ = exported(kind, tiny_name, INT8)
    far = torch.cat([tiny_images * 100, -tiny_images * 100, torch.zeros(1, 3, 8, 8)])
    assert made.export(kind.target, tmp_path / kind.file, far).worst <= 1


@pytest.mark.parametrize(
    "steps", [(Calibrate(), Fold(), Quantize()), (Quantize(),), (Calibrate(), Quantize())],
    ids=lambda steps: "-".join(step.name for step in steps),
)  # fmt: skip
def test_whatever_is_done_before_quantizing_gives_the_same_kind_of_artifact(
    steps: tuple[Calibrate | Fold | Quantize, ...], kind: Kind, tiny_name: str,
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    recipe = kind.place(Recipe("other", steps))
    made = recipe.apply(captured(tiny_name), tiny_data.split("calibration"))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert export.worst <= 1
    # Of a BatchNorm that is not folded and follows no layer, TFLite makes a float layer.
    allowed = {"norm"} if kind is TFLITE and Fold() not in steps else set()
    assert {entry.layer for entry in export.executions if not entry.integer} <= allowed


@pytest.mark.parametrize("layer", ["body_0", "body_3", "head_1", "head_3"])
def test_one_wrong_scale_is_found_blamed_on_its_layer_and_leaves_no_file(
    layer: str, kind: Kind, exported: Exported, tiny_images: Tensor, tmp_path: Path, plant: Plant
) -> None:
    made, _ = exported(kind, "plain", INT8)
    plant(kind, lambda model: kind.multiply_scale(model, layer, 1.1))
    path = layer.replace("_", ".")
    with pytest.raises(ParityError, match=f"codes from its integer twin at '{path}'"):
        made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_earlier_artifact(
    kind: Kind, exported: Exported, tiny_images: Tensor, tmp_path: Path, plant: Plant
) -> None:
    made, _ = exported(kind, "plain", INT8)
    path = made.export(kind.target, tmp_path / kind.file, tiny_images).path
    before = path.read_bytes()
    plant(kind, lambda model: kind.multiply_scale(model, "head_1", 1.1))
    with pytest.raises(ParityError):
        made.export(kind.target, path, tiny_images)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_said_and_left_as_it_was(
    kind: Kind, exported: Exported, tiny_images: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    made, _ = exported(kind, "plain", INT8)
    with pytest.raises(StorageError, match="could not be written"):
        made.export(kind.target, tmp_path / "file" / kind.file, tiny_images)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_operation_that_cannot_be_written_is_named_and_nothing_is_written(
    kind: Kind, tmp_path: Path
) -> None:
    made = FLOAT32.apply(capture(Summed(), natural((3, 8, 8))))
    with pytest.raises(UnsupportedOpError, match="cumsum"):
        made.export(kind.target, tmp_path / kind.file, torch.zeros(2, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []
