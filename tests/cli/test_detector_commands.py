import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import devkit
import pytest
from small_detectors import CLASSES, boxed_data, plain_data, write_images, write_net

from edgewise.cli.main import main
from edgewise.data import registry
from edgewise.data.registry import Known
from edgewise.store import read_record

Said = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `shapes`, with boxes, and `plain`, without, are fetched."""
    known = {"shapes": lambda folder: boxed_data(), "plain": lambda folder: plain_data()}
    for name, load in known.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        monkeypatch.setitem(registry.KNOWN, name, Known(load, name, {}, "none"))
    return tmp_path / "data"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_net(tmp_path / "own.py")


def compressed(
    said: Said, own: Path, root: Path, out: Path, *more: str, factory: str = "declared",
    data: str = "shapes",
) -> tuple[int, Any, str]:  # fmt: skip
    return said("compress", f"{own}:{factory}", "--data", data, "--root", str(root), "--recipe",
                "int8", "--target", "onnx", "-o", str(out), "--input-shape", "3,64,64",
                *more)  # fmt: skip


def test_an_artifact_is_evaluated_as_its_bundle_says(
    said: Said, own: Path, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, _, err = compressed(said, own, root, out, "--calibration-images", "5")
    assert code == 0, err
    assert "has no labels" not in err
    (entry,) = (
        one for one in read_record(out / "records/precision.json")["result"]["variants"]
        if one["name"] == "int8"
    )  # fmt: skip
    asked = ("evaluate", str(out / "int8/model.onnx"), "--data", "shapes", "--root", str(root))
    _, answer, _ = said(*asked)
    found = answer["result"]
    assert found["precision"] == entry["artifact"]
    assert [one["name"] for one in found["classes"]] == list(CLASSES)
    assert [one["ap50"] for one in found["classes"]] == [one["ap50"] for one in entry["classes"]]
    assert main(list(asked)) == 0
    shown = capfd.readouterr().out
    for text in ("mAP@0.5", "AP75", "COCO AP", "circle <b>", "recall"):
        assert text in shown
    assert main(["verify", str(out), "--data", "shapes", "--root", str(root)]) == 0
    export = read_record(out / "records/export-int8.json")
    assert export["inputs"]["calibration"].endswith("[:5]")


def test_what_cannot_be_evaluated_is_said(
    said: Said, own: Path, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = compressed(said, own, root, out, data="plain")
    assert code == 0
    assert "agreement of what is found, is reported" in " ".join(err.split())
    artifact = str(out / "float32/model.onnx")
    code, answer, _ = said("evaluate", artifact, "--data", "plain", "--root", str(root))
    assert code != 0
    assert "has no objects, and the artifact finds them" in answer["error"]
    file = str(write_images(tmp_path / "photos.npz"))
    code, answer, _ = said("evaluate", artifact, "--data", file)
    assert code != 0
    assert "has no objects" in answer["error"]


def test_a_detector_that_declares_nothing_is_told_what_is_missing(
    said: Said, own: Path, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = compressed(said, own, root, out, factory="plain")
    assert code == 0, err
    assert "(edgewise_decoder)" in err
    artifact = str(out / "int8/model.onnx")
    code, answer, _ = said("evaluate", artifact, "--data", "shapes", "--root", str(root))
    assert code != 0
    assert "does not say how its outputs become any" in answer["error"]


def test_inspect_says_what_is_proposed(
    said: Said, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shape = ("--input-shape", "3,64,64")
    _, answer, _ = said("inspect", f"{own}:plain", *shape)
    assert answer["result"]["proposed"] == ["float_outputs", "regions"]
    assert answer["result"]["float_outputs"] == ["coarse", "fine"]
    assert set(answer["result"]["regions"]) == {"backbone", "neck", "head"}
    _, answer, _ = said("inspect", f"{own}:declared", *shape)
    assert answer["result"]["proposed"] == []
    assert set(answer["result"]["regions"]) == {"body", "head"}
    for factory, told in (("plain", True), ("declared", False)):
        assert main(["inspect", f"{own}:{factory}", *shape]) == 0
        assert ("proposed" in " ".join(capfd.readouterr().out.split())) is told


def test_more_calibration_images_than_there_are_is_refused(
    said: Said, own: Path, root: Path, tmp_path: Path
) -> None:
    code, answer, _ = compressed(said, own, root, tmp_path / "out", "--calibration-images", "99")
    assert code != 0
    assert "has 12 calibration images, not 99" in answer["error"]
    assert not (tmp_path / "out").exists()


def test_broken_annotations_are_named_and_passed_over_where_that_is_asked_for(
    said: Said, own: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "streets"
    names = [f"{index:06d}" for index in range(8)]
    for name in names:
        devkit.write(folder / "VOC2007", name)
    devkit.sets(folder / "VOC2007", {"trainval": names[:5], "test": names[5:]})
    bomb = folder / "VOC2007/Annotations/000006.xml"
    bomb.write_text('<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation>&b;</annotation>')
    asked = ("compress", f"{own}:declared", "--data", folder, "--recipe", "int8", "--target",
             "onnx", "--input-shape", "3,64,64", "-o", tmp_path / "out")  # fmt: skip
    (folder / "classes.txt").write_text("\n".join([*CLASSES[1:], "dog"]))
    code, answer, _ = said(*asked)
    assert code != 0
    assert "000006.xml, line 1" in answer["error"]
    code, _, err = said(*asked, "--skip-broken")
    assert code == 0, err
    assert "test: left out 1 broken images." in err
    assert "000006.xml, line 1" in err
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["data"]["left_out"]["test"] == 1
    assert manifest["data"]["test_images"] == 2
