"""CIFAR-10 (Krizhevsky 2009), https://www.cs.toronto.edu/~kriz/cifar.html: both versions."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.dataset import Dataset, Labels
from edgewise.data.pickles import read_pickle, read_pickle_file
from edgewise.data.preprocess import Pixels, Preprocessing
from edgewise.data.splits import array_split, partition
from edgewise.errors import DataError

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
RECORD_BYTES = 1 + 3 * 32 * 32  # a label, then red, green and blue, each row by row
BATCH = 10_000
BINARY = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
NAMES_FILE = "batches.meta.txt"

_PYTHON = tuple(name.removesuffix(".bin") for name in BINARY)
_INSIDE = ("", "cifar-10-batches-bin", "cifar-10-batches-py")  # as unpacked by hand
_PICKLE_BYTES = 40_000_000  # a published batch has 31,035,704
_SIZES = {"train": 43_000, "calibration": 2_000, "validation": 5_000}
_CONTRACT = Preprocessing(32, 32, 3, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def load_cifar10(folder: Path) -> Dataset:
    """CIFAR-10 in its binary or its python version: 43,000 train, 2,000, 5,000 and 10,000 test.

    Both versions give the same splits with the same digests. Raises DataError when a file is
    absent, does not hold exactly 10,000 images, or holds labels above 9.
    """
    batches = [_named_batch(file) for file in _files(folder)]
    pixels = np.concatenate([images for images, _ in batches[:-1]])
    labels = np.concatenate([labels for _, labels in batches[:-1]])
    test = array_split("test", *batches[-1])
    return Dataset("cifar10", CLASSES, _CONTRACT, (*partition(pixels, labels, _SIZES), test))


def parse_binary(content: bytes, name: str) -> tuple[Pixels, Labels]:
    """Images uint8 (n, 32, 32, 3) and labels (n,) in a batch of the binary version."""
    if not content or len(content) % RECORD_BYTES:
        raise DataError(
            f"{name} holds {len(content)} bytes, not whole records of {RECORD_BYTES}: "
            "it is cut short or is not CIFAR-10; fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    return _pixels(records[:, 1:]), _labels(records[:, 0].astype(np.int64), name)


def parse_python(content: bytes, name: str) -> tuple[Pixels, Labels]:
    """Images uint8 (n, 32, 32, 3) and labels (n,) in a batch of the python version, a pickle."""
    return _from_dict(read_pickle(content, name), name)


def _from_dict(batch: Any, name: str) -> tuple[Pixels, Labels]:
    data, labels = _member(batch, "data"), _member(batch, "labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2:
        raise DataError(f"{name} is not a batch of CIFAR-10: its data are not rows of bytes.")
    if data.shape[1] != RECORD_BYTES - 1 or not len(data):
        raise DataError(f"{name} is not a batch of CIFAR-10: its data have shape {data.shape}.")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{name} is not a batch of CIFAR-10: its labels are not integers.")
    if len(labels) != len(data) or not all(0 <= label < len(CLASSES) for label in labels):
        raise DataError(f"{name} has {len(data)} images and not as many labels from 0 to 9.")
    return _pixels(data), np.asarray(labels, np.int64)


def _member(batch: Any, key: str) -> Any:
    """A value by its key, which Python 2 wrote as bytes."""
    return batch.get(key.encode(), batch.get(key)) if isinstance(batch, dict) else None


def _pixels(rows: NDArray[np.uint8]) -> Pixels:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _labels(labels: Labels, name: str) -> Labels:
    if labels.max(initial=0) >= len(CLASSES):
        raise DataError(f"{name} holds the label {labels.max()}; CIFAR-10 has 0 to 9.")
    return labels


def _files(folder: Path) -> list[Path]:
    """The six batches where they lie; raises DataError when there are no six."""
    for inside in _INSIDE:
        for names in (BINARY, _PYTHON):
            files = [folder / inside / name for name in names]
            absent = [file.name for file in files if not file.is_file()]
            if not absent:
                _check_names(folder / inside / NAMES_FILE)
                return files
            if len(absent) < len(files):
                raise DataError(
                    f"{folder / inside} lacks {', '.join(absent)}; fetch cifar10 again."
                )
    raise DataError(f"{folder} holds no batches of CIFAR-10; `edgewise data fetch cifar10`.")


def _named_batch(file: Path) -> tuple[Pixels, Labels]:
    """A batch of the published set, which has exactly 10,000 images."""
    if file.suffix != ".bin":
        images, labels = _from_dict(read_pickle_file(file, _PICKLE_BYTES), str(file))
    else:
        images, labels = parse_binary(_content(file, BATCH * RECORD_BYTES), str(file))
    if len(images) != BATCH:
        raise DataError(f"{file} holds {len(images)} images, not {BATCH}; fetch it again.")
    return images, labels


def _content(file: Path, expected: int) -> bytes:
    try:
        size = file.stat().st_size
        if size != expected:
            raise DataError(f"{file} has {size} bytes, not {expected}; fetch it again.")
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error


def _check_names(file: Path) -> None:
    """The class names, where the file that states them is there, in the order that we use."""
    if not file.is_file():
        return
    try:
        names = tuple(file.read_text(encoding="ascii").split())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is not a list of class names: {error}.") from error
    if names != CLASSES:
        raise DataError(f"{file} names other classes than CIFAR-10 has; fetch it again.")
