from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detector_bundles import TRAINED, make, request_of
from small_detectors import CLASSES, DECODER, SIZES, Detector, boxed_data, detector, plain_data
from torch import Tensor, nn

from edgewise import store
from edgewise.bundle import Bundle, read_bundle, verify_hashes
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import whole
from edgewise.devices.local import LocalDevice
from edgewise.errors import ModelError, UsageError
from edgewise.graph.capture import capture
from edgewise.models.load import Loaded
from edgewise.pipeline.choice import scoring_of
from edgewise.pipeline.classes import Classes
from edgewise.pipeline.near import Near
from edgewise.pipeline.precision import Precision
from edgewise.pipeline.work import Work
from edgewise.presets import INT8
from edgewise.progress import silent
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import from_rows
from edgewise.tasks.detection.precision import evaluate
from edgewise.tasks.detection.protocol import coco, voc
from edgewise.tasks.detection.suppression import Suppression, detect
from edgewise.verify import Check, Rerun, verify

PLACES = {"float32": 0, "int8": 1, "int8-qat": 2}


@pytest.fixture(scope="module")
def local() -> Iterator[LocalDevice]:
    with LocalDevice() as device:
        yield device


@pytest.fixture(scope="module")
def bundle(local: LocalDevice, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    request = request_of(tmp_path_factory.mktemp("detector") / "out", local)
    return make(replace(request, recipes=(INT8, TRAINED)))


@pytest.fixture(scope="module")
def plain(local: LocalDevice, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of a newcomer's own detector: several outputs, no decoder, no labels."""
    out = tmp_path_factory.mktemp("plain") / "out"
    return make(request_of(out, local, detector(Detector), plain_data()))


def result(bundle: Bundle, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = bundle.record(bundle.manifest["records"][kind])["result"]
    return found


def images_of(data: Dataset, name: str = "test") -> Tensor:
    split = data.split(name)
    return torch.from_numpy(next(split.batches(len(split), data.contract)))


def maps(module: nn.Module, images: Tensor) -> list[np.ndarray[Any, Any]]:
    with torch.no_grad():
        return [one.numpy() for one in module(images)]


def test_a_detector_is_scored_by_precision_and_not_by_classes(bundle: Bundle) -> None:
    records = bundle.manifest["records"]
    assert records["accuracy"] is None
    assert records["precision"] == "records/precision.json"
    found = result(bundle, "precision")
    assert found["classes"] == list(CLASSES)
    assert found["images"] == SIZES["test"]
    assert [one["name"] for one in found["variants"]] == list(PLACES)
    assert "records/pictures.npz" in verify_hashes(bundle)


def test_figures_are_those_of_the_stored_detections(bundle: Bundle) -> None:
    objects = boxed_data().split("test").objects
    assert objects is not None
    protocols = {"ap50": voc(0.5), "ap75": voc(0.75), "coco": coco()}
    found = {}
    for entry in result(bundle, "precision")["variants"]:
        for executor in ("network", "simulation", "artifact"):
            with np.load(bundle.folder / entry["detections"]) as stored:
                seen = from_rows(stored[executor], SIZES["test"])
            for name, protocol in protocols.items():
                figure = entry[executor][name]
                assert figure["value"] == evaluate(seen, objects, 2, protocol).mean
                assert figure["low"] <= figure["value"] <= figure["high"]
                found[entry["name"], executor, name] = figure["value"]
    for entry in result(bundle, "precision")["variants"]:
        for name in protocols:
            difference = found[entry["name"], "artifact", name] - found["float32", "artifact", name]
            assert entry["difference"][name]["value"] == pytest.approx(difference)


def test_the_float_network_is_the_users_own(bundle: Bundle) -> None:
    data = boxed_data()
    decoder = Decoder.from_json({**DECODER, "height": 64, "width": 64})
    wanted = detect(maps(detector(), images_of(data)), decoder, Suppression())
    with np.load(bundle.folder / "float32" / "detections.npz") as stored:
        for executor in ("network", "artifact"):
            found = from_rows(stored[executor], SIZES["test"])
            assert [len(one) for one in found] == [len(one) for one in wanted]
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=1e-3, atol=1e-2)


def test_agreement_counts_detections(bundle: Bundle) -> None:
    first, second, _ = result(bundle, "precision")["variants"]
    sure = first["agreement_with_float"]
    assert 0 < sure["of"] == sure["repeated"]
    assert second["agreement_with_float"]["of"] == sure["of"]


def test_training_with_quantizers_ends_in_integers_and_changes_weights(bundle: Bundle) -> None:
    export = bundle.record(bundle.manifest["records"]["export"]["int8-qat"])["result"]
    assert export["worst"] <= 1
    assert export["integer_share"] > 0.9
    assert len(export["steps"][-2]["curves"]["accuracy"]) == 1  # then weights are stored
    kept = {one["layer"] for one in export["executions"] if not one["integer"]}
    assert kept == {"coarse", "fine"}
    digests = {one["name"]: one["digest"] for one in bundle.manifest["variants"]}
    assert len(set(digests.values())) == 3


def checks_of(folder: Path, local: LocalDevice, data: Dataset | None) -> dict[str, Check]:
    return {one.name: one for one in verify(read_bundle(folder), Rerun(local, data), silent)}


def copied(bundle: Bundle, to: Path) -> Path:
    for path in bundle.folder.rglob("*"):
        if path.is_file():
            target = to / path.relative_to(bundle.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return to


def edit(folder: Path, file: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a record's result and sign it again, in the manifest too."""
    record = store.read_json(folder / file)
    change(record["result"])
    body = {key: value for key, value in record.items() if key != "digest"}
    store.write_json(folder / file, {**body, "digest": store.digest_json(body)})
    manifest = store.read_json(folder / "manifest.json")
    manifest["files"][file] = store.digest_file(folder / file)
    store.write_json(folder / "manifest.json", manifest)


def test_a_bundle_holds_when_its_artifacts_answer_again(
    bundle: Bundle, plain: Bundle, local: LocalDevice
) -> None:
    for made, data, said in ((bundle, boxed_data(), "detections"), (plain, plain_data(), "output")):
        checks = checks_of(made.folder, local, data)
        assert [one.name for one in checks.values() if one.ok is not True] == []
        assert f"exactly the stored {said}" in checks["answers of int8"].detail


def test_figures_that_do_not_follow_are_noticed(
    bundle: Bundle, plain: Bundle, local: LocalDevice, tmp_path: Path
) -> None:
    first, second = copied(bundle, tmp_path / "first"), copied(plain, tmp_path / "second")

    def better(found: dict[str, Any]) -> None:
        found["variants"][1]["artifact"]["ap50"]["value"] += 0.01

    def louder(found: dict[str, Any]) -> None:
        found["variants"][1]["outputs"][0]["artifact_db"] += 1

    edit(first, "records/precision.json", better)
    edit(second, "records/closeness.json", louder)
    for folder, kind, what in ((first, "precision", "artifact"), (second, "closeness", "outputs")):
        check = checks_of(folder, local, None)[kind]
        assert check.ok is False
        assert f"{what} of int8 do not follow" in check.detail


def test_another_artifact_answers_otherwise(
    bundle: Bundle, plain: Bundle, local: LocalDevice, tmp_path: Path
) -> None:
    for made, data in ((bundle, boxed_data()), (plain, plain_data())):
        folder = copied(made, tmp_path / data.name)
        (folder / "int8/model.onnx").write_bytes((folder / "float32/model.onnx").read_bytes())
        checks = checks_of(folder, local, data)
        assert checks["answers of float32"].ok
        assert checks["answers of int8"].ok is False
        assert f"of {SIZES['test']} images get other" in checks["answers of int8"].detail


def test_closeness_is_signal_over_noise_of_every_output(plain: Bundle) -> None:
    entries = result(plain, "closeness")["variants"]
    assert plain.manifest["records"]["accuracy"] is None
    assert result(plain, "closeness")["outputs"] == ["output_0", "output_1"]
    assert all("agreement_with_float" not in entry for entry in entries)
    with np.load(plain.folder / "int8" / "closeness.npz") as stored:
        signal, noise = stored["signal"], stored["artifact"]
    wanted = maps(detector(Detector), images_of(plain_data()))
    squares = [(one.reshape(len(one), -1).astype(np.float64) ** 2).sum(axis=1) for one in wanted]
    np.testing.assert_allclose(signal, np.stack(squares, axis=1), rtol=1e-4)
    for place, one in enumerate(entries[1]["outputs"]):
        ratio = 10 * np.log10(signal[:, place].sum() / noise[:, place].sum())
        assert one["artifact_db"] == pytest.approx(ratio)
        assert 10 < one["artifact_db"] < entries[0]["outputs"][place]["artifact_db"]


def test_what_is_proposed_of_outputs_stays_in_float(plain: Bundle) -> None:
    export = plain.record(plain.manifest["records"]["export"]["int8"])["result"]
    assert {one["layer"] for one in export["executions"] if not one["integer"]} == {
        "coarse", "fine",
    }  # fmt: skip
    assert set(plain.manifest["model"]["regions"]) == {"backbone", "neck", "head"}


@pytest.mark.parametrize("target", [LiteRtTarget()])
def test_a_decoder_without_objects_gives_agreement(
    local: LocalDevice, tmp_path: Path, target: LiteRtTarget
) -> None:
    request = replace(request_of(tmp_path / "out", local, data=plain_data()), target=target)
    found = result(make(replace(request, test_images=4)), "closeness")
    assert found["images"] == 4
    for entry in found["variants"]:
        assert len(entry["outputs"]) == 2
        assert entry["agreement_with_float"]["of"] > 0
        assert (tmp_path / "out" / entry["detections"]).is_file()


class Watched:
    """Images that say how many were ever asked for at once."""

    def __init__(self, images: Any) -> None:
        self.images, self.most = images, 0

    def __len__(self) -> int:
        return len(self.images)

    def read(self, start: int, stop: int) -> Any:
        self.most = max(self.most, stop - start)
        return self.images.read(start, stop)


def test_outputs_are_compared_a_part_at_a_time(
    local: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Bundle
) -> None:
    monkeypatch.setattr("edgewise.inference._CHUNK", 3)
    data = plain_data()
    test = data.split("test")
    watched = Watched(test.images)
    splits = (data.split("calibration"), replace(test, images=watched))
    request = request_of(tmp_path / "out", local, detector(Detector), replace(data, splits=splits))
    made = make(request)
    assert watched.most == 3
    ours, theirs = (result(one, "closeness")["variants"][1]["outputs"] for one in (made, plain))
    for first, second in zip(ours, theirs, strict=True):  # float32 rounds by the size of a batch
        assert first["artifact_db"] == pytest.approx(second["artifact_db"], abs=0.5)


def work_of(local: LocalDevice, module: nn.Module, data: Dataset) -> Work:
    request = replace(
        request_of(Path("out"), local, data=data), model=Loaded("net", "net.py:make", module)
    )
    return Work(request, capture(module.eval(), data.contract), Path("out"), silent)


class Declares(Detector):
    """A decoder for maps of other channels."""

    edgewise_decoder = {**DECODER, "classes": 9}  # noqa: RUF012


class Map(nn.Module):
    """One map, as a segmentation gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.only(images)  # type: ignore[no-any-return]


def labelled(data: Dataset) -> Dataset:
    splits = tuple(
        replace(one, labels=np.zeros(len(one), np.int64), objects=None) for one in data.splits
    )
    return replace(data, splits=splits)


def nothing_there(data: Dataset) -> Dataset:
    """Somebody looked, and all is difficult."""
    splits = []
    for split in data.splits:
        assert split.objects is not None
        hard = tuple(replace(one, difficult=np.ones(len(one), np.bool_)) for one in split.objects)
        splits.append(replace(split, objects=hard))
    return replace(data, splits=tuple(splits))


def test_what_says_how_good_a_variant_is(local: LocalDevice) -> None:
    boxed = boxed_data()
    for module, data, kind in (
        (detector(), boxed, Precision),
        (detector(), plain_data(), Near),
        (detector(), nothing_there(boxed), Near),
        (detector(Detector), boxed, Near),
        (Map(), plain_data(), Near),
        (Map(), labelled(boxed), Classes),
    ):
        assert type(scoring_of(work_of(local, module, data))) is kind


def test_what_does_not_go_together_is_refused_before_any_work(local: LocalDevice) -> None:
    boxed = boxed_data()
    with pytest.raises(ModelError, match="does not say how its outputs become objects"):
        scoring_of(work_of(local, Declares(), boxed))
    with pytest.raises(UsageError, match="objects of 3 classes and the network finds 2"):
        scoring_of(work_of(local, detector(), replace(boxed, classes=("a", "b", "c"))))
    larger = replace(boxed, contract=whole((3, 96, 96)))
    with pytest.raises(UsageError, match="pixels of images of 64x64"):
        scoring_of(work_of(local, detector(), larger))


def test_a_detector_is_not_trained_without_boxes(local: LocalDevice, tmp_path: Path) -> None:
    data = boxed_data()
    bare = tuple(replace(one, objects=None) for one in data.splits)
    for splits, said in (
        (bare, "train and validation split"),
        (bare[:1] + data.splits[1:], "train split"),
    ):
        request = request_of(tmp_path / "out", local, data=replace(data, splits=splits))
        with pytest.raises(UsageError, match=f"trains a detector, and shapes has no {said}"):
            make(replace(request, recipes=(TRAINED,)))
    assert list(tmp_path.iterdir()) == []


def test_as_many_calibration_images_are_used_as_were_asked_for(
    local: LocalDevice, tmp_path: Path
) -> None:
    request = request_of(tmp_path / "out", local, detector(Detector), plain_data())
    made = make(replace(request, calibration_images=3, test_images=2))
    export = made.record(made.manifest["records"]["export"]["int8"])
    assert export["inputs"]["calibration"].endswith("[:3]")
    steps = {step["step"]: step for step in export["request"]["recipe"]["steps"]}
    assert steps["calibrate"]["images"] == 3
    with pytest.raises(UsageError, match="has 12 calibration images, not 13"):
        make(replace(request, calibration_images=13))
