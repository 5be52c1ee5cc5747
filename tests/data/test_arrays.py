import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.data.arrays import load_arrays
from edgewise.data.dataset import Dataset
from edgewise.errors import DataError, UsageError

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (20, 6, 5, 3), np.uint8)
FLOATS = DRAW.normal(size=(20, 2, 6, 5)).astype(np.float32)
LABELS = DRAW.integers(0, 4, 20)


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "photos.npz", **arrays)
    return folder / "photos.npz"


def everything(dataset: Dataset) -> NDArray[Any]:
    """All stored images, in the order of their first bytes."""
    parts = [split.images.read(0, len(split)) for split in dataset.splits]
    return np.concatenate(parts)


def rows(images: NDArray[Any]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_pixels_and_labels(tmp_path: Path) -> None:
    dataset = load_arrays(save(tmp_path, images=PIXELS, labels=LABELS))
    assert (dataset.name, dataset.contract.shape) == ("photos", (3, 6, 5))
    sizes = {split.name: len(split) for split in dataset.splits}
    assert sizes == {"train": 12, "calibration": 2, "validation": 3, "test": 3}
    assert rows(everything(dataset)) == rows(PIXELS)
    known = {image.tobytes(): label for image, label in zip(PIXELS, LABELS, strict=True)}
    for split in dataset.splits:
        assert split.labels is not None
        for image, label in zip(split.images.read(0, len(split)), split.labels, strict=True):
            assert known[image.tobytes()] == label


def test_grey_pixels_without_labels(tmp_path: Path) -> None:
    dataset = load_arrays(save(tmp_path, images=PIXELS[..., 0]))
    assert [(s.name, len(s), s.labels) for s in dataset.splits] == [
        ("calibration", 10, None),
        ("test", 10, None),
    ]
    assert dataset.contract.shape == (1, 6, 5)
    assert dataset.classes == ()


def test_floats_are_the_input_as_they_are(tmp_path: Path) -> None:
    dataset = load_arrays(save(tmp_path, images=FLOATS, labels=LABELS))
    assert dataset.contract.stored == "float32"
    batches = [b for s in dataset.splits for b in s.batches(3, dataset.contract)]
    assert rows(np.concatenate(batches)) == rows(FLOATS)
    with pytest.raises(UsageError, match="2,6,5"):
        load_arrays(tmp_path / "photos.npz", (3, 6, 5))


def test_a_shape_pads_and_never_cuts(tmp_path: Path) -> None:
    file = save(tmp_path, images=PIXELS)
    dataset = load_arrays(file, (3, 8, 8))
    assert next(dataset.split("test").batches(4, dataset.contract)).shape == (4, 3, 8, 8)
    with pytest.raises(DataError, match="do not fit"):
        load_arrays(file, (3, 5, 5))
    with pytest.raises(UsageError, match="3,6,5"):
        load_arrays(file, (1, 6, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, 7, 255, 256, 299])
def test_the_first_image_that_is_not_finite_is_named(
    tmp_path: Path, value: float, index: int
) -> None:
    images = np.zeros((300, 1, 2, 2), np.float32)
    images[index:, 0, 1, 0] = value
    with pytest.raises(DataError, match=f"image {index} in .*not finite"):
        load_arrays(save(tmp_path, images=images))


@pytest.mark.parametrize(
    "arrays",
    [
        {"pictures": PIXELS},
        {"images": PIXELS.astype(np.float64)},
        {"images": PIXELS.astype(np.int32)},
        {"images": PIXELS[0, 0]},
        {"images": PIXELS[:0]},
        {"images": FLOATS[:, 0]},
        {"images": PIXELS.transpose(0, 3, 1, 2)},
        {"images": PIXELS, "labels": LABELS[:-1]},
        {"images": PIXELS, "labels": LABELS[:, None]},
        {"images": PIXELS, "labels": LABELS.astype(np.float32)},
        {"images": PIXELS, "labels": LABELS - 1},
        {"images": PIXELS, "labels": LABELS + 10**9},
        {"images": PIXELS, "labels": np.full(20, 2**64 - 1, np.uint64)},
        {"images": PIXELS[:1]},
        {"images": PIXELS[:3], "labels": LABELS[:3]},
    ],
    ids=lambda arrays: " ".join(f"{k} {v.dtype}{v.shape}" for k, v in arrays.items()),
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(DataError, match=r"photos\.npz"):
        load_arrays(save(tmp_path, **arrays))


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_objects_are_never_made(tmp_path: Path) -> None:
    images = np.empty(1, object)
    images[0] = Hostile(tmp_path / "trace")
    with pytest.raises(DataError, match="nothing in it was executed"):
        load_arrays(save(tmp_path, images=images))
    assert not (tmp_path / "trace").exists()


@settings(deadline=None)
@given(data=st.data())
def test_a_cut_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, images=PIXELS)
    whole = stream.getvalue()
    file = tmp_path_factory.mktemp("a") / "photos.npz"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DataError, match="not a whole npz file"):
        load_arrays(file)


def test_members_that_are_no_arrays(tmp_path: Path) -> None:
    for name, content in (("images", b"hello"), ("images.npy", b"\x93NUMPY\x01\x00\xff\xff{")):
        with zipfile.ZipFile(tmp_path / "photos.npz", "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(DataError, match="not a whole npz file"):
            load_arrays(tmp_path / "photos.npz")


def test_a_header_cannot_claim_the_memory(tmp_path: Path) -> None:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 44, 8, 8, 3)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(tmp_path / "photos.npz", "w") as archive:
        archive.writestr("images.npy", stream.getvalue())
    with pytest.raises(DataError, match="not a whole npz file"):
        load_arrays(tmp_path / "photos.npz")


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_arrays(tmp_path / "photos.npz")
