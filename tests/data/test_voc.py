"""A VOCdevkit is read as it is, and what is broken in it is named or, if asked, left out."""

import re
import struct
import zlib
from pathlib import Path

import devkit
import numpy as np
import pytest
from PIL import Image

from edgewise.data import registry, voc
from edgewise.data.dataset import Dataset
from edgewise.data.voc import CLASSES, Reading, load_voc
from edgewise.errors import DataError, UsageError

SHAPE = (3, 32, 32)
SKIP = Reading(skip_broken=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """45 images of 2007 and 2012: 40 in trainval, 5 in test, every ninth one empty."""
    for year, first in (("VOC2007", 0), ("VOC2012", 100)):
        names = [f"{first + index:06d}" for index in range(25 if first == 0 else 20)]
        root = tmp_path / "VOCdevkit" / year
        for index, name in enumerate(names):
            devkit.write(root, name, () if index % 9 == 8 else devkit.ONE)
        devkit.sets(root, {"trainval": names[:20]})
        if names[20:]:
            devkit.sets(root, {"test": names[20:]})
    return tmp_path


def names(dataset: Dataset, split: str) -> list[str]:
    images = dataset.split(split).images
    assert isinstance(images, voc.VocImages)
    return [f"{each.file.parent.parent.name}/{each.file.stem}" for each in images.pictures]


def test_both_years_make_one_set(folder: Path) -> None:
    dataset = load_voc(folder, SHAPE)
    assert [(s.name, len(s)) for s in dataset.splits] == [
        ("train", 38), ("calibration", 38), ("validation", 2), ("test", 5),
    ]  # fmt: skip
    assert names(dataset, "test") == [f"VOC2007/{index:06d}" for index in range(20, 25)]
    listed = {*names(dataset, "train"), *names(dataset, "validation")}
    assert len(listed) == 40
    assert set(names(dataset, "calibration")) <= set(names(dataset, "train"))
    assert dataset.classes == CLASSES
    assert dataset.contract.fit == "letterbox"
    split = dataset.split("test")
    assert split.objects is not None
    # 20 x 10 in 32 x 32: 1.6 times as large, 8 pixels of grey above.
    assert np.allclose(split.objects[0].boxes, [[2 * 1.6, 8 + 1.6, 16, 8 + 9 * 1.6]])
    pixels = split.images.read(0, 5)
    assert pixels.shape == (5, 32, 32, 3)
    assert (pixels[:, :8] == 128).all()
    assert (pixels[:, 8:24] != 128).any()
    assert split.images.read(2, 2).shape == (0, *SHAPE[1:], 3)
    assert next(split.batches(2, dataset.contract)).max() <= 1


def test_one_year_will_do_and_the_devkit_itself(folder: Path) -> None:
    (folder / "VOCdevkit" / "VOC2012").rename(folder / "VOC2012")
    both = load_voc(folder / "VOCdevkit", SHAPE)
    assert {name[:7] for name in names(both, "train")} == {"VOC2007"}
    only = load_voc(folder, SHAPE)  # the devkit in the folder goes first
    assert only.digests() == both.digests()
    (folder / "VOCdevkit").rename(folder / "elsewhere")
    without = load_voc(folder, SHAPE)
    assert [split.name for split in without.splits] == ["train", "calibration", "validation"]


def test_splits_are_the_same_again_and_digests_tell_of_changes(folder: Path) -> None:
    before = load_voc(folder, SHAPE)
    assert load_voc(folder, SHAPE).digests() == before.digests()
    assert load_voc(folder, (3, 48, 48)).digests() != before.digests()
    file = folder / "VOCdevkit/VOC2007/Annotations/000020.xml"
    file.write_text(file.read_text().replace("<xmin>3<", "<xmin>4<"))
    after = load_voc(folder, SHAPE)
    assert after.split("test").digest != before.split("test").digest
    assert after.split("train").digest == before.split("train").digest


def test_calibration_is_a_random_part_of_train(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voc, "CALIBRATION", 10)
    dataset = load_voc(folder, SHAPE)
    train, chosen = names(dataset, "train"), names(dataset, "calibration")
    assert len(chosen) == len(set(chosen)) == 10
    places = [train.index(name) for name in chosen]
    assert places == sorted(places)
    assert places != list(range(10))
    found, whole = dataset.split("calibration").objects, dataset.split("train").objects
    assert found is not None
    assert whole is not None
    assert all(one is whole[place] for one, place in zip(found, places, strict=True))


def test_by_name_it_is_letterboxed_into_what_is_asked_for(folder: Path) -> None:
    (folder / "VOCdevkit").rename(folder / "voc")
    assert registry.load("voc", folder).contract.shape == voc.DEFAULT_SHAPE
    dataset = registry.load("voc", folder, (3, 24, 40))
    assert dataset.split("test").images.read(0, 1).shape == (1, 24, 40, 3)
    with pytest.raises(UsageError, match="--input-shape 3,24,40"):
        registry.load("voc", folder, (1, 24, 40))


def test_a_folder_of_that_layout_is_a_devkit_with_classes_of_its_own(folder: Path) -> None:
    assert registry.load(str(folder), None, SHAPE).digests() == {
        key.replace("voc/", f"{folder.name}/"): value
        for key, value in load_voc(folder, SHAPE).digests().items()
    }
    (folder / "classes.txt").write_text("wolf\n\ncar \n")
    with pytest.raises(DataError, match="unknown|dog|class"):
        registry.load(str(folder), None, SHAPE)
    (folder / "classes.txt").write_text("\n".join(reversed(CLASSES)))
    assert registry.load(str(folder), None, SHAPE).classes == CLASSES[::-1]
    for text in ("", "wolf\nwolf", "\n \n"):
        (folder / "classes.txt").write_text(text)
        with pytest.raises(DataError, match=r"classes\.txt should name every class once"):
            registry.load(str(folder), None, SHAPE)
    (folder / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"classes\.txt cannot be read"):
        registry.load(str(folder), None, SHAPE)


def break_annotation(year: Path) -> None:
    file = year / "Annotations/000021.xml"
    file.write_text(file.read_text().replace("<xmax>10<", "<xmax>1000<"))


def break_picture(year: Path) -> None:
    (year / "JPEGImages/000021.jpg").unlink()


def break_file(year: Path) -> None:
    (year / "Annotations/000021.xml").unlink()


def break_list(year: Path) -> None:
    file = year / "ImageSets/Main/test.txt"
    file.write_text(file.read_text() + "999999\n")


@pytest.mark.parametrize(
    ("spoil", "why", "left"),
    [
        (break_annotation, r"000021\.xml, line 13: <bndbox>.*not inside", 4),
        (break_picture, r"000021\.xml, line 1: its picture .*000021\.jpg is not there", 4),
        (break_file, r"000021\.xml cannot be read: No such file", 4),
        (break_list, r"999999\.xml cannot be read", 5),
    ],
)
def test_what_is_broken_stops_or_is_left_out(
    folder: Path, spoil: object, why: str, left: int
) -> None:
    whole = load_voc(folder, SHAPE)
    assert callable(spoil)
    spoil(folder / "VOCdevkit/VOC2007")
    with pytest.raises(DataError, match=why):
        load_voc(folder, SHAPE)
    dataset = load_voc(folder, SHAPE, SKIP)
    test = dataset.split("test")
    assert len(test) == left
    (said,) = test.left_out
    assert re.search(why, said)
    assert test.head(2).left_out == test.left_out
    assert test.objects is not None
    assert len(test.objects) == left
    for name in ("train", "validation"):
        assert dataset.split(name).left_out == ()
        assert dataset.split(name).digest == whole.split(name).digest


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("../../secret", "no name of an image"),
        ("/etc/passwd", "no name"),
        ("a b", "no name"),
        ("x" * 1000, "no name"),
        ("000020", "a second time"),
    ],
)
def test_a_list_that_leads_elsewhere_is_refused(folder: Path, line: str, why: str) -> None:
    file = folder / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    file.write_text(f"{file.read_text()}{line}\n")
    for reading in (Reading(), SKIP):
        with pytest.raises(DataError, match=rf"test\.txt, line 6: .*{why}"):
            load_voc(folder, SHAPE, reading)


def test_folders_that_are_no_devkit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither VOC2007 nor VOC2012.*edgewise data fetch voc"):
        load_voc(tmp_path)
    (tmp_path / "VOC2007").mkdir()
    with pytest.raises(DataError, match="lists no images"):
        load_voc(tmp_path)
    devkit.write(tmp_path / "VOC2007", "000001", [("wolf", (1, 1, 2, 2), 0)])
    devkit.sets(tmp_path / "VOC2007", {"trainval": ["000001"]})
    with pytest.raises(DataError, match="no class 'wolf'"):
        load_voc(tmp_path)
    with pytest.raises(DataError, match="no image that is not broken"):
        load_voc(tmp_path, SHAPE, SKIP)
    assert load_voc(tmp_path, SHAPE, Reading(("wolf",))).classes == ("wolf",)
    (tmp_path / "VOC2007/ImageSets/Main/trainval.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"trainval\.txt cannot be read"):
        load_voc(tmp_path)


def bomb(file: Path) -> None:
    """A PNG of a few bytes that claims 400 million pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "gif", "size", "bomb", "deep"])
def test_pictures_that_cannot_be_used_are_named(folder: Path, kind: str) -> None:
    file = folder / "VOCdevkit/VOC2007/JPEGImages/000022.jpg"
    content = file.read_bytes()
    if kind in ("cut", "empty", "text"):
        made = {"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}
        file.write_bytes(made[kind])
    elif kind == "bomb":
        bomb(file)
    elif kind == "deep":
        Image.fromarray(np.zeros((10, 20), np.uint16)).save(file, "PNG")
    else:
        size = (20, 11) if kind == "size" else (20, 10)
        Image.new("RGB", size).save(file, "GIF" if kind == "gif" else "PNG")
    split = load_voc(folder, SHAPE).split("test")
    split.images.read(0, 2)
    with pytest.raises(DataError, match=r"000022\.jpg cannot be used"):
        split.images.read(0, 5)


def test_a_picture_is_not_turned_as_its_camera_says(tmp_path: Path) -> None:
    """Boxes are those of the pixels as they are stored."""
    devkit.write(tmp_path / "VOC2007", "a")
    devkit.sets(tmp_path / "VOC2007", {"trainval": ["a"]})
    file = tmp_path / "VOC2007/JPEGImages/a.jpg"
    before = load_voc(tmp_path, SHAPE).split("train").images.read(0, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    marker = b"\xff\xe1" + struct.pack(">H", len(exif.tobytes()) + 2) + exif.tobytes()
    content = file.read_bytes()
    file.write_bytes(content[:2] + marker + content[2:])
    with Image.open(file) as image:
        assert image.getexif()[0x0112] == 6
    assert np.array_equal(load_voc(tmp_path, SHAPE).split("train").images.read(0, 1), before)
