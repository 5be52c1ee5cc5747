import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgewise.bundle import Bundle, read_bundle, verify_hashes
from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import Preprocessing, finished, natural
from edgewise.data.random import load_random
from edgewise.devices.local import LocalDevice
from edgewise.errors import ExportError, ModelError, StorageError, UsageError
from edgewise.measure import QUICK
from edgewise.models.load import Loaded
from edgewise.pipeline import classes
from edgewise.pipeline.compress import compress
from edgewise.pipeline.request import Request, contract_for
from edgewise.presets import FP16, INT8
from edgewise.progress import silent
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.store import digest_file, digest_json
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.tasks.classification import accuracy, paired_difference
from edgewise.verify import Check, Rerun, verify

RECIPES = (FP16, INT8)


@pytest.fixture(scope="session")
def local() -> Iterator[LocalDevice]:
    with LocalDevice() as device:
        yield device


@pytest.fixture(scope="session")
def request_for(
    make_tiny: Callable[[str], nn.Module], tiny_data: Dataset, local: LocalDevice
) -> Callable[[Path], Request]:
    def making(out: Path) -> Request:
        model = Loaded("plain", "net.py:plain", make_tiny("plain"), inputs={"code": "0" * 64})
        return Request(model, tiny_data, tiny_data.contract, RECIPES, OnnxTarget(), out, local)

    return making


@pytest.fixture(scope="session")
def stages() -> list[tuple[str, int, int]]:
    """What the listener of `bundle` heard."""
    return []


@pytest.fixture(scope="session")
def bundle(
    request_for: Callable[[Path], Request],
    stages: list[tuple[str, int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """A labelled bundle of a tiny network, made once: for reading only."""
    out = tmp_path_factory.mktemp("bundle") / "out"
    return compress(request_for(out), lambda *call: stages.append(call))


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that a test may harm."""
    for path in bundle.folder.rglob("*"):
        if path.is_file():
            target = tmp_path / "out" / path.relative_to(bundle.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "out"


def stored(bundle: Bundle, record: str) -> dict[str, Any]:
    result: dict[str, Any] = bundle.record(bundle.manifest["records"][record])["result"]
    return result


def test_the_folder_holds_what_the_manifest_lists_and_nothing_else(bundle: Bundle) -> None:
    assert verify_hashes(bundle) == sorted(
        [f"{v}/{f}" for v in ("float32", "fp16", "int8") for f in ("model.onnx", "predictions.npz")]
        + ["int8/quant.json", "records/accuracy.json", "records/sensitivity-int8.json"]
        + [f"records/export-{v}.json" for v in ("float32", "fp16", "int8")]
    )
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["out"]


def test_the_manifest_says_what_was_compressed(bundle: Bundle, tiny_data: Dataset) -> None:
    manifest = bundle.manifest
    assert manifest["model"]["name"] == "plain"
    assert manifest["model"]["source"] == "net.py:plain"
    assert manifest["model"]["inputs"] == {"code": "0" * 64}
    assert manifest["model"]["regions"] == {"body": ["body*"], "head": ["head*"]}
    assert manifest["data"]["digests"] == tiny_data.digests()
    assert manifest["data"]["test_images"] == 40
    assert Preprocessing.from_json(manifest["contract"]) == tiny_data.contract
    assert [variant["name"] for variant in manifest["variants"]] == ["float32", "fp16", "int8"]
    assert manifest["baseline"] == "float32"
    assert manifest["records"]["measurement"] is None
    for variant in manifest["variants"]:
        path = bundle.folder / variant["artifact"]
        assert variant["size_bytes"] == path.stat().st_size
        assert variant["digest"] == digest_file(path) == manifest["files"][variant["artifact"]]
        assert Recipe.from_json(variant["recipe"]).name == variant["name"]
        assert (variant["quantizers"] is not None) == (variant["name"] == "int8")
    assert json.loads((bundle.folder / "int8/quant.json").read_text())["tensors"]


def test_every_record_names_what_it_was_made_from(bundle: Bundle, tiny_data: Dataset) -> None:
    for name, path in bundle.manifest["records"]["export"].items():
        record = bundle.record(path)
        assert record["kind"] == "export"
        assert record["inputs"]["calibration"] == tiny_data.split("calibration").digest
        assert record["request"]["recipe"]["name"] == name
        assert record["result"]["worst"] <= 1
    accuracy_record = bundle.record(bundle.manifest["records"]["accuracy"])
    assert accuracy_record["inputs"]["test"] == tiny_data.split("test").digest
    for variant in bundle.manifest["variants"]:
        assert accuracy_record["inputs"][variant["name"]] == variant["digest"]


def test_accuracies_are_those_of_the_stored_predictions_and_labels(
    bundle: Bundle, tiny_data: Dataset
) -> None:
    labels = tiny_data.split("test").labels
    assert labels is not None
    baseline = np.load(bundle.folder / "float32/predictions.npz")["artifact"]
    for entry in stored(bundle, "accuracy")["variants"]:
        predictions = np.load(bundle.folder / entry["outputs"])
        assert predictions["labels"].tolist() == labels.tolist()
        right = accuracy(predictions["artifact"] == labels)
        assert entry["artifact"] == {"value": right.value, "low": right.low, "high": right.high}
        paired = paired_difference(predictions["artifact"] == labels, baseline == labels)
        assert entry["difference"]["value"] == paired.value
        assert entry["agreement_with_float"] >= 0.9
        if entry["name"] != "int8":
            assert entry["agreement_with_float"] == entry["agreement_with_simulation"] == 1


def test_the_float_network_is_the_users_own(
    bundle: Bundle, make_tiny: Callable[[str], nn.Module], tiny_data: Dataset
) -> None:
    images = torch.from_numpy(next(tiny_data.split("test").batches(40, tiny_data.contract)))
    with torch.no_grad():
        expected = make_tiny("plain")(images).argmax(1)
    for name in ("float32", "int8"):
        predictions = np.load(bundle.folder / name / "predictions.npz")
        assert predictions["network"].tolist() == expected.tolist()


def test_sensitivity_is_of_every_layer_with_its_macs(bundle: Bundle) -> None:
    name = bundle.manifest["records"]["sensitivity"]["int8"]
    layers = bundle.record(name)["result"]["layers"]
    assert [layer["layer"] for layer in layers] == ["body.0", "body.3", "head.1", "head.3"]
    assert sum(layer["macs"] for layer in layers) == bundle.manifest["model"]["macs"]
    assert set(bundle.manifest["records"]["sensitivity"]) == {"int8"}


def test_progress_is_told_and_every_stage_ends(
    bundle: Bundle, stages: list[tuple[str, int, int]]
) -> None:
    assert bundle
    ends: dict[str, tuple[int, int]] = {stage: (done, total) for stage, done, total in stages}
    assert all(done == total for done, total in ends.values())
    assert any("calibrate" in stage for stage in ends)
    assert any("int8" in stage for stage in ends)


def test_the_same_request_gives_the_same_artifacts(
    bundle: Bundle, request_for: Callable[[Path], Request], tmp_path: Path
) -> None:
    again = compress(replace(request_for(tmp_path / "out"), recipes=(INT8,)), silent)
    for name in ("float32/model.onnx", "int8/model.onnx", "int8/quant.json"):
        assert again.manifest["files"][name] == bundle.manifest["files"][name]


def test_unlabelled_noise_gives_agreement_and_a_measurement(
    request_for: Callable[[Path], Request], tmp_path: Path
) -> None:
    brief = replace(QUICK, rounds=1, samples=20, seconds=0.01, warm_up_s=0.01, warm_up_cap_s=0.1)
    request = replace(
        request_for(tmp_path / "out"), data=load_random((3, 8, 8), seed=2, calibration=8, test=6),
        contract=natural((3, 8, 8)), recipes=(INT8,), protocol=brief, test_images=4,
    )  # fmt: skip
    made = compress(request, silent)
    result = stored(made, "accuracy")
    assert (result["labelled"], result["images"], result["data"]) == (False, 4, "random")
    assert all(entry["artifact"] is None for entry in result["variants"])
    assert all(0 <= entry["agreement_with_float"] <= 1 for entry in result["variants"])
    measured = stored(made, "measurement")
    assert [one["name"] for one in measured["measurements"]] == ["float32", "int8"]
    assert verify_hashes(made)
    assert made.manifest["data"]["test_images"] == 4


def test_variants_need_names_of_their_own(request_for: Callable[[Path], Request]) -> None:
    twice = (INT8, Recipe("int8", (Fold(),)))
    for recipes in (twice, (Recipe("float32", (Fold(), Quantize())),)):
        with pytest.raises(UsageError, match="a name of its own"):
            replace(request_for(Path("x")), recipes=recipes)


@pytest.mark.parametrize("name", ["records", "RECORDS"])
def test_a_variant_does_not_share_a_folder_with_the_records(
    request_for: Callable[[Path], Request], name: str
) -> None:
    with pytest.raises(UsageError):
        replace(request_for(Path("x")), recipes=(Recipe(name, (Fold(),)),))


def test_a_failure_in_the_last_variant_leaves_nothing(
    request_for: Callable[[Path], Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise ExportError("on purpose")

    monkeypatch.setattr(classes, "run_artifact", failing)
    with pytest.raises(ExportError, match="on purpose"):
        compress(request_for(tmp_path / "out"), silent)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_files_is_refused_before_any_work(
    request_for: Callable[[Path], Request], tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_text("x")
    heard: list[str] = []
    with pytest.raises(UsageError, match="holds other files"):
        compress(request_for(tmp_path), lambda stage, *_: heard.append(stage))
    assert heard == []


def test_a_network_that_does_not_take_the_images_is_refused(
    request_for: Callable[[Path], Request], tmp_path: Path
) -> None:
    request = replace(request_for(tmp_path / "out"), contract=natural((1, 8, 8)))
    with pytest.raises(ModelError, match="input of 1x8x8"):
        compress(request, silent)
    assert list(tmp_path.iterdir()) == []


class Model(Loaded):
    """Says only what a contract depends on."""


def model(shape: tuple[int, int, int] | None, contract: Preprocessing | None) -> Loaded:
    return Loaded("m", "m", nn.Identity(), shape, contract)


def data(contract: Preprocessing) -> Dataset:
    return Dataset("d", (), contract, ())


def test_the_contract_stored_with_the_weights_goes_before_the_data_sets() -> None:
    ours, theirs = natural((3, 8, 8)), Preprocessing(8, 8, 3, (0.1,) * 3, (0.2,) * 3)
    assert contract_for(model(None, theirs), data(ours)) == theirs
    assert contract_for(model(None, None), data(ours)) == ours
    assert contract_for(model((3, 8, 8), None), data(ours)) == ours


def test_images_that_are_finished_keep_their_own_contract() -> None:
    done = finished((3, 8, 8))
    assert contract_for(model(None, natural((3, 8, 8))), data(done)) == done


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes \(3, 9, 9\) and d gives \(3, 8, 8\)"):
        contract_for(model((3, 9, 9), None), data(natural((3, 8, 8))))


def checked(folder: Path, local: LocalDevice, images: Dataset | None) -> dict[str, Check]:
    checks = verify(read_bundle(folder), Rerun(local, images), silent)
    return {check.name: check for check in checks}


def test_a_bundle_that_was_not_touched_holds(
    bundle: Bundle, local: LocalDevice, tiny_data: Dataset
) -> None:
    checks = checked(bundle.folder, local, tiny_data)
    assert list(checks) == [
        "hashes", "records", "accuracy", "measurement",
        "answers of float32", "answers of fp16", "answers of int8",
    ]  # fmt: skip
    assert all(check.ok for check in checks.values())


def test_without_the_images_the_answers_are_not_checked_and_nothing_fails(
    bundle: Bundle, local: LocalDevice
) -> None:
    checks = checked(bundle.folder, local, None)
    assert {name: check.ok for name, check in checks.items() if name.startswith("answers")} == {
        "answers of float32": None, "answers of fp16": None, "answers of int8": None,
    }  # fmt: skip
    assert all(check.ok is not False for check in checks.values())


def resealed(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change a record and make its digest hold again, as someone with intent would."""
    path = folder / name
    record = json.loads(path.read_text())
    change(record["result"])
    body = {key: value for key, value in record.items() if key != "digest"}
    path.write_text(json.dumps({**body, "digest": digest_json(body)}))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = digest_file(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_figure_that_does_not_follow_from_the_predictions_is_found(
    copied: Path, local: LocalDevice
) -> None:
    def better(result: Any) -> None:
        result["variants"][2]["artifact"]["value"] = 0.99

    resealed(copied, "records/accuracy.json", better)
    checks = checked(copied, local, None)
    assert checks["hashes"].ok
    assert checks["accuracy"].ok is False
    assert "artifact of int8 do not follow" in checks["accuracy"].detail


def test_an_artifact_that_answers_otherwise_is_found(
    copied: Path, local: LocalDevice, tiny_data: Dataset
) -> None:
    (copied / "int8/model.onnx").write_bytes((copied / "fp16/model.onnx").read_bytes())
    checks = checked(copied, local, tiny_data)
    assert checks["hashes"].ok is False
    assert checks["records"].ok is False


def test_other_images_are_not_taken_for_those_that_were_scored(
    bundle: Bundle, local: LocalDevice, tiny_data: Dataset
) -> None:
    def other(split: Split) -> Split:
        return replace(split, digest="0" * 64)

    others = replace(tiny_data, splits=tuple(other(split) for split in tiny_data.splits))
    checks = checked(bundle.folder, local, others)
    assert checks["answers of int8"].ok is False
    assert "not the split that was scored" in checks["answers of int8"].detail


@pytest.mark.parametrize(
    "name", ["int8/predictions.npz", "int8/model.onnx", "records/accuracy.json"]
)
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}", b"cut"])
def test_a_damaged_file_fails_checks_and_nothing_else(
    copied: Path, local: LocalDevice, tiny_data: Dataset, name: str, content: bytes
) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[:-30] if content == b"cut" else content)
    checks = checked(copied, local, tiny_data)
    assert checks["hashes"].ok is False
    assert f"{name} was changed" in checks["hashes"].detail


@pytest.mark.parametrize("key", ["variants", "records", "data", "contract", "files"])
@pytest.mark.parametrize("value", [None, [], [5], [{}], {}, {"x": 5}, 5])
def test_a_manifest_that_was_made_up_never_ends_in_a_traceback(
    copied: Path, local: LocalDevice, key: str, value: object
) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, key: value}))
    with suppress(StorageError):  # refused when it is read, or found by a check
        checks = checked(copied, local, None)
        found = any(check.ok is False for check in checks.values())
        assert found or key in ("data", "contract") or value == []
