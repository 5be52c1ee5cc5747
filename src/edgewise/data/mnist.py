"""MNIST and Fashion-MNIST: four IDX files, one layout."""

from pathlib import Path

import numpy as np

from edgewise.data.dataset import Dataset
from edgewise.data.idx import read_idx
from edgewise.data.preprocess import Preprocessing
from edgewise.data.splits import array_split, partition
from edgewise.errors import DataError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_SHAPES = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
_SIZES = {"train": 48_000, "calibration": 2_000, "validation": 10_000}
GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
# Padded to 32x32 and repeated to three channels, so that CIFAR-10 networks take them.
_FASHION = Preprocessing(32, 32, 3, (0.2860,) * 3, (0.3530,) * 3)
_DIGITS = Preprocessing(32, 32, 3, (0.1307,) * 3, (0.3081,) * 3)


def load_fashion_mnist(folder: Path) -> Dataset:
    """Fashion-MNIST (Xiao et al. 2017): 48,000 train, 2,000 calibration, 10,000 + 10,000."""
    return _load("fashion-mnist", folder, GARMENTS, _FASHION)


def load_mnist(folder: Path) -> Dataset:
    """MNIST (LeCun et al. 1998), split as Fashion-MNIST is."""
    return _load("mnist", folder, tuple(str(digit) for digit in range(10)), _DIGITS)


def _load(name: str, folder: Path, classes: tuple[str, ...], contract: Preprocessing) -> Dataset:
    arrays = [read_idx(_find(folder, file)) for file in FILES]
    for file, array, shape in zip(FILES, arrays, _SHAPES, strict=True):
        if array.shape != shape:
            raise DataError(
                f"{folder / file} has the shape {array.shape}, and {name} has {shape}; "
                f"`edgewise data fetch {name}` brings it anew."
            )
    images, labels, test_images, test_labels = arrays
    if max(int(labels.max(initial=0)), int(test_labels.max(initial=0))) >= len(classes):
        raise DataError(f"{folder} holds labels that {name} does not have; fetch it again.")
    splits = partition(images[..., None], labels.astype(np.int64), _SIZES)
    test = array_split("test", test_images[..., None], test_labels.astype(np.int64))
    return Dataset(name, classes, contract, (*splits, test))


def _find(folder: Path, name: str) -> Path:
    """The file as fetched, or gzipped as the canonical site ships it."""
    plain, zipped = folder / name, folder / f"{name}.gz"
    return zipped if zipped.exists() and not plain.exists() else plain
