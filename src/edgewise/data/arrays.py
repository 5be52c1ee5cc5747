"""FILE.npz: images in one array, with or without labels."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data import splits
from edgewise.data.dataset import Dataset, Labels, Split
from edgewise.data.preprocess import Preprocessing, Shape, Stored, finished, natural
from edgewise.errors import DataError

_MOST_BYTES = 1 << 34
_MOST_CLASSES = 100_000
_AT_ONCE = 256
_WANTED = (
    "save with numpy.savez(FILE, images=..., labels=...): images uint8 (n, height, width, "
    "channels) or (n, height, width), or float32 (n, channels, height, width) that are "
    "preprocessed already; labels integers (n,)"
)


def load_arrays(file: Path, shape: Shape | None = None) -> Dataset:
    """The `images` and, where there are any, `labels` of an npz file, split in one fixed order.

    uint8 images are normalised as photographs are, padded to `shape` where one is given; float32
    images are the network's input as they are. Raises DataError when the file is cut short, holds
    objects, other types or shapes, values that are not finite, or labels that do not match;
    UsageError when float32 images have another shape than the one asked for.
    """
    members = _read(file)
    if "images" not in members:
        raise DataError(f"{file} holds no array 'images'; {_WANTED}.")
    images = _images(members["images"], file)
    labels = _labels(members["labels"], len(images), file) if "labels" in members else None
    contract = _contract(images)
    if shape is not None:
        contract = contract.resized(shape)
        contract.apply(images[:1])  # refuses now what would not fit later
    classes = () if labels is None else tuple(str(label) for label in range(int(labels.max()) + 1))
    return Dataset(file.stem, classes, contract, _splits(file, images, labels))


def _read(file: Path) -> dict[str, NDArray[Any]]:
    """The two arrays that count, with no object in them ever made."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise DataError(
                f"{file} unpacks to {size} bytes, more than {_MOST_BYTES}; use a folder of "
                "images, which is read a batch at a time."
            )
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("images", "labels") if name in stored}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise TypeError("a member of that name is not an array")
        return arrays
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist.") from error
    except (
        OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RuntimeError,
        MemoryError, NotImplementedError, OverflowError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise DataError(
            f"{file} is not a whole npz file of plain arrays ({error}); nothing in it was "
            f"executed. To make one, {_WANTED}."
        ) from error


def _images(images: NDArray[Any], file: Path) -> Stored:
    if images.dtype == np.uint8 and images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype not in (np.uint8, np.float32) or not images.size:
        raise DataError(
            f"the images in {file} are {images.dtype} of shape {images.shape}; {_WANTED}."
        )
    if images.dtype == np.uint8 and images.shape[3] > 4:
        raise DataError(
            f"the images in {file} have {images.shape[3]} channels in their last dimension; "
            f"{_WANTED}."
        )
    if images.dtype == np.float32:
        _check_finite(images, file)
    return images


def _check_finite(images: NDArray[np.float32], file: Path) -> None:
    for start in range(0, len(images), _AT_ONCE):
        finite = np.isfinite(images[start : start + _AT_ONCE]).all(axis=(1, 2, 3))
        if not finite.all():
            first = start + int(np.argmin(finite))
            raise DataError(
                f"image {first} in {file} holds values that are not finite; repair it or leave "
                "it out."
            )


def _labels(labels: NDArray[Any], count: int, file: Path) -> Labels:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"the labels in {file} are {labels.dtype} of shape {labels.shape}, not one integer "
            f"for each of {count} images."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= _MOST_CLASSES:
        raise DataError(
            f"the labels in {file} go from {labels.min()} to {labels.max()}; number the classes "
            "from 0."
        )
    return labels.astype(np.int64)


def _contract(images: Stored) -> Preprocessing:
    if images.dtype == np.float32:
        _, channels, height, width = images.shape
        return finished((channels, height, width))
    _, height, width, channels = images.shape
    return natural((channels, height, width))


def _splits(file: Path, images: Stored, labels: Labels | None) -> tuple[Split, ...]:
    chosen = splits.divide(len(images), labels is not None, str(file))
    return tuple(
        splits.array_split(name, images[part], None if labels is None else labels[part])
        for name, part in chosen.items()
    )
