import base64
import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from detector_bundles import make, request_of
from PIL import Image
from report_bundles import edit_record
from rich.console import Console
from small_detectors import CLASSES, Detector, detector, plain_data

from edgewise import store
from edgewise.devices.local import LocalDevice
from edgewise.errors import StorageError
from edgewise.report import page, pictures, table, words
from edgewise.report.contents import Contents, load
from edgewise.report.rows import rows


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles by what says how good their variants are."""
    root = tmp_path_factory.mktemp("detectors")
    found = {name: root / name for name in ("precision", "agreement", "outputs")}
    with LocalDevice() as device:
        make(request_of(found["precision"], device))
        make(request_of(found["agreement"], device, data=plain_data()))
        make(request_of(found["outputs"], device, detector(Detector), plain_data()))
    return found


@pytest.fixture(scope="module")
def contents(folders: dict[str, Path]) -> Contents:
    return load(folders["precision"])


def terminal(known: Contents) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table.to_rich(rows(known), "title"))
    return out.getvalue()


def test_a_detector_shows_precision_in_place_of_accuracy(contents: Contents) -> None:
    lines = rows(contents)
    for text in (terminal(contents), table.to_markdown(lines, "title")):
        for heading in ("mAP@0.5", "AP75 to float", "COCO AP", "same detections as float", "size"):
            assert heading in text
        for heading in ("accuracy", "same answers", "latency", "signal to noise"):
            assert heading not in text
    known = contents.precision
    assert known is not None
    _, second = table.to_json(lines)
    figures, stored = second["figures"], known.result.variants[1]
    assert figures["mAP@0.5"]["value"] == stored.artifact.ap50.value
    assert figures["AP75 to float"]["value"] == stored.difference.ap75.value
    assert figures["COCO AP"]["high"] == stored.artifact.coco.high
    assert figures["mAP@0.5"]["source"] == "records/precision.json"


def test_the_headline_speaks_of_precision(contents: Contents) -> None:
    said = words.headline(contents, rows(contents))
    assert "mAP@0.5" in said
    assert "AP75 changes by" in said
    assert "accuracy" not in said
    assert "within the error of 10 images" in said


def test_a_loss_of_place_alone_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    _copy(folders["precision"], folder)

    def worse(result: dict[str, list[dict[str, dict[str, object]]]]) -> None:
        result["variants"][1]["difference"] = {
            "ap50": {"value": 0.0, "low": -0.01, "high": 0.01},
            "ap75": {"value": -0.1, "low": -0.12, "high": -0.08},
            "coco": {"value": -0.1, "low": -0.12, "high": -0.08},
        }

    assert [one.title for one in words.notices(load(folder))] == ["Not measured"]
    edit_record(folder, "records/precision.json", worse)
    found = {one.title: one.text for one in words.notices(load(folder))}
    assert "int8 finds the objects, but its boxes lie less well" in found["Boxes"]


def test_classes_and_pictures_are_on_the_page(contents: Contents, folders: dict[str, Path]) -> None:
    text = page.render(folders["precision"])
    assert text == page.render(folders["precision"])
    assert "circle &lt;b&gt;" in text
    assert "circle <b>" not in text
    shown = re.findall(r'src="data:image/png;base64,([^"]+)" alt="([^"]*)"', text)
    assert 0 < len(shown) <= 6
    for content, alt in shown:
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            image.load()
            assert image.width > 600
        assert "float32: " in unescape(alt)
        assert "int8: " in unescape(alt)
    assert "img-src data:" in text
    assert re.findall(r'(?:src|href)="(?!data:|#)', text) == []
    for name in CLASSES:
        assert name in unescape(text)


def test_pictures_say_what_is_stored(contents: Contents, folders: dict[str, Path]) -> None:
    with np.load(folders["precision"] / "float32/detections.npz") as stored:
        found = stored["artifact"]
    with np.load(folders["precision"] / "records/pictures.npz") as stored:
        places = stored["images"]
    first = found[(found[:, 0] == places[0]) & (found[:, 2] > pictures.SCORE)]
    (one, *_) = pictures.pictures(contents, rows(contents))
    for label, name in enumerate(CLASSES):
        count = int((first[:, 1] == label).sum())
        ours = one.caption.partition(";")[0]
        assert (f"{name} ×{count}" in ours) is (count > 1)


@pytest.mark.parametrize("file", ["records/pictures.npz", "int8/detections.npz"])
def test_pictures_that_were_changed_are_refused(
    folders: dict[str, Path], tmp_path: Path, file: str
) -> None:
    _copy(folders["precision"], tmp_path / "out")
    (tmp_path / "out" / file).write_bytes(b"other")
    with pytest.raises(StorageError, match="not the file that the manifest was written with"):
        page.render(tmp_path / "out")
    manifest = store.read_json(tmp_path / "out/manifest.json")
    manifest["files"][file] = store.digest_file(tmp_path / "out" / file)
    store.write_json(tmp_path / "out/manifest.json", manifest)
    with pytest.raises(StorageError, match="no file of named arrays"):
        page.render(tmp_path / "out")


def test_without_anything_to_score_by_closeness_is_shown(folders: dict[str, Path]) -> None:
    for kind, found in (("agreement", True), ("outputs", False)):
        known = load(folders[kind])
        text = terminal(known)
        assert "signal to noise" in text
        assert ("same detections as float" in text) is found
        assert "accuracy" not in text
        said = words.headline(known, rows(known))
        assert "dB above the noise" in said
        assert ("sure detections again" in said) is found
        assert words.notices(known)[0].title == "Nothing to score by"
        html = page.render(folders[kind])
        assert "variant and output" in html
        assert ("data:image/png" in html) is found


def _copy(folder: Path, to: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            target = to / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
