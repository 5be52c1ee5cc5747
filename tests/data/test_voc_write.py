"""What is written as a devkit is read back as it was."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.data.composed.draws import Draws
from edgewise.data.composed.render import Pieces, render
from edgewise.data.composed.stored import CLASSES
from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import whole
from edgewise.data.voc import Reading, load_voc
from edgewise.data.voc_write import write_voc
from edgewise.errors import DataError

SHAPE = (3, 160, 160)


def composed(counts: dict[str, int]) -> Dataset:
    """Pictures as those of the composed set, on grey."""
    ramp = np.linspace(0, 255, 28 * 28).astype(np.uint8).reshape(28, 28)
    photograph = np.full((40, 40, 3), 90, np.uint8)
    pieces = Pieces([photograph], [np.zeros((8, 8, 4), np.uint8)], [[ramp]] * 20)
    splits = []
    for number, (name, count) in enumerate(counts.items()):
        made = [render(pieces, Draws(1, number, index)) for index in range(count)]
        pixels = np.stack([image for image, _ in made])
        found = tuple(objects for _, objects in made)
        splits.append(Split(name, ArrayImages(pixels), None, name, found))
    return Dataset("composed-voc", CLASSES, whole(SHAPE), tuple(splits), "voc")


@pytest.mark.parametrize("lossless", [True, False])
def test_a_set_comes_back_with_the_same_objects(tmp_path: Path, lossless: bool) -> None:
    written = composed({"train": 22, "calibration": 3, "validation": 4, "test": 5})
    year = write_voc(written, tmp_path, lossless)
    assert year == tmp_path / "VOCdevkit" / "VOC2007"
    lists = {file.stem: file.read_text().split() for file in (year / "ImageSets/Main").iterdir()}
    assert {name: len(lines) for name, lines in lists.items()} == {
        "train": 22, "val": 4, "trainval": 26, "test": 5,
    }  # fmt: skip
    read = load_voc(tmp_path, SHAPE, Reading(CLASSES))
    assert (len(read.split("train")), len(read.split("validation"))) == (25, 1)
    before, after = written.split("test"), read.split("test")
    assert before.objects is not None
    assert after.objects is not None
    for one, other in zip(before.objects, after.objects, strict=True):
        assert np.array_equal(one.classes, other.classes)
        assert np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.difficult, other.difficult)
    difference = before.images.read(0, 5).astype(int) - after.images.read(0, 5)
    assert np.abs(difference).mean() < (1e-9 if lossless else 8)


def test_it_is_what_other_readers_expect(tmp_path: Path) -> None:
    year = write_voc(composed({"test": 2}), tmp_path)
    root = ElementTree.parse(year / "Annotations/test_000001.xml").getroot()  # noqa: S314 - ours
    assert root.findtext("filename") == "test_000001.jpg"
    assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == [
        "160", "160", "3",
    ]  # fmt: skip
    for each in root.iter("object"):
        assert each.findtext("name") in CLASSES
        corners = [int(each.findtext(f"bndbox/{side}") or "") for side in ("xmin", "xmax")]
        assert 1 <= corners[0] <= corners[1] <= 160
    with Image.open(year / "JPEGImages/test_000001.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (160, 160))


def test_boxes_between_pixels_come_back_exactly(tmp_path: Path) -> None:
    boxes = np.array([[0.1, 1 / 3, 7.7, 15.999999]], np.float32)
    objects = Objects(np.zeros(1, np.int64), boxes, np.zeros(1, np.bool_))
    pixels = np.zeros((1, 16, 16, 3), np.uint8)
    split = Split("test", ArrayImages(pixels), None, "x", (objects,))
    dataset = Dataset("a", ("<&>",), whole((3, 16, 16)), (split,))
    write_voc(dataset, tmp_path)
    (tmp_path / "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt").write_text("test_000000\n")
    read = load_voc(tmp_path, (3, 16, 16), Reading(("<&>",))).split("test")
    assert read.objects is not None
    assert np.array_equal(read.objects[0].boxes, boxes)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    dataset = composed({"test": 1})
    split = dataset.split("test")
    unlooked = replace(dataset, splits=(replace(split, objects=None),))
    with pytest.raises(DataError, match="nobody looked for objects in test"):
        write_voc(unlooked, tmp_path)
    with pytest.raises(DataError, match="has no train, validation, test"):
        write_voc(replace(dataset, splits=()), tmp_path)
    floats = replace(split, images=ArrayImages(np.zeros((1, 3, 16, 16), np.float32)))
    with pytest.raises(DataError, match="float32; a picture needs uint8"):
        write_voc(replace(dataset, splits=(floats,)), tmp_path)
    for box in ((150, 2, 161, 9), (-1, 2, 9, 9), (3, 3, 3.5, 9)):
        boxes = np.array([box], np.float32)
        odd = Objects(np.zeros(1, np.int64), boxes, np.zeros(1, np.bool_))
        with pytest.raises(DataError, match="under a pixel or leaves the picture"):
            write_voc(replace(dataset, splits=(replace(split, objects=(odd,)),)), tmp_path)
    assert not list(tmp_path.rglob("*.txt"))
