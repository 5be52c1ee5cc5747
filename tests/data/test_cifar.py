import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import python2
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.data import cifar
from edgewise.data.cifar import load_cifar10, parse_binary, parse_python
from edgewise.errors import DataError

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


def batch(count: int, seed: int) -> Batch:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, 32, 32, 3), np.uint8), draw.integers(0, 10, count)


def binary(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """The binary version, written one value at a time as its page describes it."""
    out = bytearray()
    for image, label in zip(images, labels, strict=True):
        out.append(int(label))
        for channel in range(3):
            for row in range(32):
                out += bytes(image[row, :, channel].tolist())
    return bytes(out)


def python(images: NDArray[np.uint8], classes: NDArray[np.int64], **others: Any) -> bytes:
    """The python version: a dict of Python 2 with rows of red, green and blue."""
    rows = np.stack([np.concatenate([i[..., c].ravel() for c in range(3)]) for i in images])
    content = {
        "batch_label": "training batch 1 of 5",
        "labels": classes.tolist(),
        "data": rows,
        "filenames": [f"image_{index}.png" for index in range(len(images))],
    }
    return python2.dumps({**content, **others})


@settings(deadline=None)
@given(count=st.integers(1, 5), seed=st.integers(0, 99))
def test_both_versions_hold_the_same(count: int, seed: int) -> None:
    images, labels = batch(count, seed)
    for got_images, got_labels in (
        parse_binary(binary(images, labels), "x"),
        parse_python(python(images, labels), "x"),
    ):
        assert np.array_equal(got_images, images)
        assert np.array_equal(got_labels, labels)
        assert got_labels.dtype == np.int64


@settings(deadline=None)
@given(data=st.data())
def test_files_that_are_not_whole_records_are_refused(data: st.DataObject) -> None:
    content = binary(*batch(2, 0)) + bytes(10)
    length = data.draw(st.integers(0, len(content)).filter(lambda n: n not in (3073, 6146)))
    with pytest.raises(DataError, match="not whole records"):
        parse_binary(content[:length], "test_batch.bin")


def test_labels_above_nine_are_refused() -> None:
    images, labels = batch(3, 0)
    labels[1] = 10
    with pytest.raises(DataError, match="label 10"):
        parse_binary(binary(images, labels), "x")
    with pytest.raises(DataError, match="labels from 0 to 9"):
        parse_python(python(images, labels), "x")


@pytest.mark.parametrize(
    "other",
    [
        {"labels": [0, 1]},
        {"labels": [0, 1, -1]},
        {"labels": [0, 1, 2.0]},
        {"labels": "012"},
        {"labels": np.zeros(3, np.int64)},
        {"data": np.zeros((3, 3071), np.uint8)},
        {"data": np.zeros((3, 3072), np.float32)},
        {"data": np.zeros(3 * 3072, np.uint8)},
        {"data": np.zeros((0, 3072), np.uint8), "labels": []},
        {"data": [1, 2]},
        {"data": None},
    ],
    ids=lambda other: str(other)[:40],
)
def test_pickles_of_anything_else_are_refused(other: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="x "):
        parse_python(python(*batch(3, 0), **other), "x")
    with pytest.raises(DataError, match="not a batch"):
        parse_python(python2.dumps([1, 2]), "x")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Six batches of 20 images, and a reader that holds them for the published ones."""
    monkeypatch.setattr(cifar, "BATCH", 20)
    monkeypatch.setattr(cifar, "_SIZES", {"train": 80, "calibration": 5, "validation": 15})
    return [batch(20, seed) for seed in range(6)]


def write(folder: Path, batches: list[Batch], version: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in zip(cifar.BINARY, batches, strict=True):
        if version == "binary":
            (folder / name).write_bytes(binary(*content))
        else:
            (folder / name.removesuffix(".bin")).write_bytes(python(*content))
    return folder


def test_both_versions_give_the_same_data_set(tmp_path: Path, small: list[Batch]) -> None:
    one = load_cifar10(write(tmp_path / "bin", small, "binary"))
    write(tmp_path / "py" / "cifar-10-batches-py", small, "python")
    other = load_cifar10(tmp_path / "py")
    assert one.digests() == other.digests()
    assert {split.name: len(split) for split in one.splits} == {
        "train": 80,
        "calibration": 5,
        "validation": 15,
        "test": 20,
    }
    assert one.classes[3] == "cat"
    assert np.array_equal(one.split("test").images.read(0, 20), small[5][0])
    assert one.contract.shape == (3, 32, 32)


def test_the_published_set_has_60000_images(tmp_path: Path) -> None:
    for name in cifar.BINARY:  # holes, which read as black aeroplanes
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 30_730_000)
    sizes = {split.name: len(split) for split in load_cifar10(tmp_path).splits}
    assert sizes == {"train": 43_000, "calibration": 2_000, "validation": 5_000, "test": 10_000}


@pytest.mark.parametrize("version", ["binary", "python"])
def test_a_smaller_set_is_not_the_published_one(tmp_path: Path, version: str) -> None:
    write(tmp_path / "set", [batch(20, seed) for seed in range(6)], version)
    with pytest.raises(DataError, match="data_batch_1.* not (10000|30730000)"):
        load_cifar10(tmp_path / "set")


def test_absent_files_are_named(tmp_path: Path, small: list[Batch]) -> None:
    with pytest.raises(DataError, match="edgewise data fetch cifar10"):
        load_cifar10(tmp_path)
    folder = write(tmp_path / "set", small, "binary")
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_4\.bin"):
        load_cifar10(folder)


def test_other_class_names_are_another_set(tmp_path: Path, small: list[Batch]) -> None:
    folder = write(tmp_path / "set", small, "binary")
    names = folder / "batches.meta.txt"
    names.write_text("\n".join(cifar.CLASSES) + "\n\n")
    load_cifar10(folder)
    names.write_text("\n".join(reversed(cifar.CLASSES)))
    with pytest.raises(DataError, match="other classes"):
        load_cifar10(folder)
    names.write_bytes(b"\xff")
    with pytest.raises(DataError, match="not a list of class names"):
        load_cifar10(folder)
