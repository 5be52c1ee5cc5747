import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewise.data.folder import FolderImages, decode, load_folder
from edgewise.data.letterbox import letterbox
from edgewise.errors import DataError


def photo(path: Path, size: tuple[int, int] = (12, 9), seed: int = 0, mode: str = "RGB") -> Path:
    """A picture of its own for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def classes(root: Path, counts: dict[str, int]) -> Path:
    for number, (name, count) in enumerate(counts.items()):
        for index in range(count):
            photo(root / name / f"{index:03}.png", seed=1000 * number + index)
    return root


def names(split_images: object) -> list[str]:
    assert isinstance(split_images, FolderImages)
    return [f"{file.parent.name}/{file.name}" for file in split_images.files]


def test_classes_are_split_in_one_fixed_order(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets", {"cat": 13, "dog": 7})
    dataset = load_folder(root, (3, 8, 8))
    assert (dataset.name, dataset.classes) == ("pets", ("cat", "dog"))
    sizes = {split.name: len(split) for split in dataset.splits}
    assert sizes == {"train": 12, "calibration": 2, "validation": 3, "test": 3}
    seen = [name for split in dataset.splits for name in names(split.images)]
    assert len(seen) == len(set(seen)) == 20
    for split in dataset.splits:
        assert split.labels is not None
        expected = [dataset.classes.index(name.split("/")[0]) for name in names(split.images)]
        assert split.labels.tolist() == expected
    assert load_folder(root, (3, 8, 8)).digests() == dataset.digests()


def test_named_splits_are_kept(tmp_path: Path) -> None:
    classes(tmp_path / "test", {"dog": 2})
    classes(tmp_path / "train", {"cat": 3, "dog": 1})
    dataset = load_folder(tmp_path, (3, 8, 8))
    assert [split.name for split in dataset.splits] == ["train", "test"]
    assert dataset.classes == ("cat", "dog")
    assert [None if s.labels is None else s.labels.tolist() for s in dataset.splits] == [
        [0, 0, 0, 1],
        [1, 1],
    ]
    with pytest.raises(DataError, match="no split 'calibration'; it has train, test"):
        dataset.split("calibration")


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    classes(tmp_path, {".": 9})
    dataset = load_folder(tmp_path, (1, 8, 8))
    assert [(s.name, len(s), s.labels) for s in dataset.splits] == [
        ("calibration", 5, None),
        ("test", 4, None),
    ]
    assert dataset.classes == ()


def test_named_splits_without_labels(tmp_path: Path) -> None:
    classes(tmp_path, {"calibration": 2, "test": 3})
    dataset = load_folder(tmp_path, (3, 8, 8))
    assert [(s.name, len(s), s.labels) for s in dataset.splits] == [
        ("calibration", 2, None),
        ("test", 3, None),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    dataset = load_folder(classes(tmp_path, {"car": 3, "train": 3}), (3, 8, 8))
    assert dataset.classes == ("car", "train")


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "bmp", "webp"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    photo(tmp_path / f"a.{suffix}")
    photo(tmp_path / f"b.{suffix}")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("nor this")
    dataset = load_folder(tmp_path)
    assert next(dataset.split("test").batches(1, dataset.contract)).shape == (1, 3, 224, 224)


def test_digest_is_over_names_and_contents(tmp_path: Path) -> None:
    classes(tmp_path / "test", {"cat": 2})
    before = load_folder(tmp_path, (3, 8, 8)).split("test").digest
    assert load_folder(tmp_path, (3, 9, 9)).split("test").digest == before
    (tmp_path / "test/cat/000.png").rename(tmp_path / "test/cat/002.png")
    renamed = load_folder(tmp_path, (3, 8, 8)).split("test").digest
    photo(tmp_path / "test/cat/001.png", seed=99)
    changed = load_folder(tmp_path, (3, 8, 8)).split("test").digest
    assert len({before, renamed, changed}) == 3


def test_images_are_decoded_only_when_they_are_read(tmp_path: Path) -> None:
    classes(tmp_path / "test", {"cat": 3})
    (tmp_path / "test/cat/001.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    split = load_folder(tmp_path, (3, 8, 8)).split("test")
    batches = split.batches(1, load_folder(tmp_path, (3, 8, 8)).contract)
    next(batches)
    with pytest.raises(DataError, match=r"cat/001\.png cannot be used"):
        next(batches)


@settings(deadline=None)
@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 9))
def test_an_image_of_the_right_size_is_not_touched(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], seed: int
) -> None:
    file = photo(tmp_path_factory.mktemp("a") / "a.png", size, seed)
    stored = np.asarray(Image.open(file))
    assert np.array_equal(decode(file, (3, size[1], size[0])), stored)
    grey = np.asarray(Image.open(file).convert("L"))
    assert np.array_equal(decode(file, (1, size[1], size[0]))[..., 0], grey)


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (20, 20)])
def test_the_shorter_side_is_resized_and_the_middle_kept(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    file = photo(tmp_path / "a.png", size)
    wide, high = size[0] // 4, size[1] // 4
    resized = Image.open(file).resize((wide, high), Image.Resampling.BILINEAR)
    left, top = (wide - 5) // 2, (high - 5) // 2
    expected = np.asarray(resized.crop((left, top, left + 5, top + 5)))
    assert np.array_equal(decode(file, (3, 5, 5)), expected)


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    got = decode(tmp_path / "a.png", (1, 6, 4))[..., 0]
    assert np.array_equal(got, np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_kinds_of_pixels(tmp_path: Path, mode: str) -> None:
    file = photo(tmp_path / "a.png", mode=mode)
    for channels in (1, 3):
        assert decode(file, (channels, 4, 4)).shape == (4, 4, channels)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + check


def bomb(side: int) -> bytes:
    """A few bytes of PNG that claim an image of side x side."""
    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


def test_what_cannot_be_an_image_is_named(tmp_path: Path) -> None:
    whole = photo(tmp_path / "whole.png", (64, 64)).read_bytes()
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    deep.save(tmp_path / "deep.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "gif.png", format="GIF")
    contents = {
        "empty.png": b"",
        "text.png": b"hello",
        "cut.png": whole[: len(whole) // 2],
        "bomb.png": bomb(10_000),
        "larger-bomb.png": bomb(100_000),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    for name in (*contents, "deep.png", "gif.png", "folder.png", "absent.png"):
        with pytest.raises(DataError, match=f"{name} cannot be used"):
            decode(tmp_path / name, (3, 8, 8))


def test_other_layouts_are_explained(tmp_path: Path) -> None:
    layouts = {
        "empty": {},
        "both": {".": 1, "cat": 1},
        "val": {"train/cat": 4, "val/cat": 4},
        "hollow": {"train": 1, "test/sub/cat": 1},
    }
    for name, counts in layouts.items():
        (tmp_path / name).mkdir()
        classes(tmp_path / name, counts)
        with pytest.raises(DataError, match="ROOT/CLASS"):
            load_folder(tmp_path / name)
    (tmp_path / "hollow/validation").mkdir()
    with pytest.raises(DataError, match="ROOT/CLASS"):
        load_folder(tmp_path / "hollow")
    with pytest.raises(DataError, match="too few"):
        load_folder(classes(tmp_path / "few", {"cat": 3}))
    with pytest.raises(DataError, match="absent cannot be read"):
        load_folder(tmp_path / "absent")
    with pytest.raises(DataError, match="1 or 3 channels"):
        load_folder(tmp_path / "few", (2, 8, 8))


def test_progress_is_told_of_every_file(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    classes(tmp_path, {".": 4})
    load_folder(tmp_path, (3, 8, 8), lambda *each: told.append(each))
    assert told[-1] == ("hash of test", 2, 2)
    assert len(told) == 4


def test_a_detector_sees_whole_images_letterboxed(tmp_path: Path) -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :5, 0], wide[:, -5:, 1] = 200, 100
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Image.fromarray(wide).save(tmp_path / name)
    cropped = load_folder(tmp_path, (3, 20, 20))
    fitted = cropped.fitted("letterbox")
    before, after = (one.split("test").images.read(0, 1)[0] for one in (cropped, fitted))
    assert np.array_equal(after, letterbox(Image.fromarray(wide), (3, 20, 20)))
    assert after[10, 0].tolist() == [200, 0, 0]
    assert after[0, 0].tolist() == [128, 128, 128]
    assert before[10, 0].tolist() == [0, 0, 0]
    assert (cropped.contract.fit, fitted.contract.fit) == ("crop", "letterbox")
    assert cropped.split("test").digest != fitted.split("test").digest
    assert fitted.fitted("letterbox") is fitted
    assert np.array_equal(fitted.fitted("crop").split("test").images.read(0, 1)[0], before)


def test_grey_images_are_letterboxed_too(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Image.fromarray(np.full((4, 8), 7, np.uint8)).save(tmp_path / name)
    images = load_folder(tmp_path, (1, 8, 8)).fitted("letterbox").split("test").images.read(0, 1)
    assert images.shape == (1, 8, 8, 1)
    assert set(images.ravel().tolist()) == {7, 128}
