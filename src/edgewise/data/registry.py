"""Data sets by what the user wrote: a name, a folder, a file of arrays, or `random`."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.data.arrays import load_arrays
from edgewise.data.cifar import load_cifar10
from edgewise.data.composed.stored import load_composed_voc
from edgewise.data.darknet import load_darknet
from edgewise.data.dataset import Dataset
from edgewise.data.folder import load_folder
from edgewise.data.mnist import load_fashion_mnist, load_mnist
from edgewise.data.preprocess import Shape
from edgewise.data.random import load_random
from edgewise.data.voc import DEFAULT_SHAPE, Reading, is_devkit, load_voc, own_classes
from edgewise.errors import DataError, UsageError
from edgewise.progress import Progress, silent


@dataclass(frozen=True)
class How:
    """How images are read, besides their shape.

    seed: of `random` alone; skip_broken: whether images with a broken annotation are passed over,
    else the first is an error; progress: of reading a folder.
    """

    seed: int = 0
    skip_broken: bool = False
    progress: Progress = silent


Shaped = Callable[[Path, Shape | None, How], Dataset]


@dataclass(frozen=True)
class Known:
    """A named data set: what it is before it is there.

    images: split -> number of images; licence: as its authors state it; stand_in_for: the set that
    a study uses it in place of, where that cannot be had; shaped: reads it as asked, where that is
    more than another contract.
    """

    load: Callable[[Path], Dataset]
    summary: str
    images: Mapping[str, int]
    licence: str
    stand_in_for: str | None = None
    shaped: Shaped | None = None


def _devkit(folder: Path, shape: Shape | None, how: How, name: str = "voc") -> Dataset:
    reading = Reading(own_classes(folder), how.skip_broken, name)
    return load_voc(folder, shape or DEFAULT_SHAPE, reading)


def _composed(folder: Path, shape: Shape | None, how: How) -> Dataset:
    return load_composed_voc(folder, shape)


_SIXTY = {"train": 48_000, "calibration": 2_000, "validation": 10_000, "test": 10_000}

KNOWN: Mapping[str, Known] = {
    "mnist": Known(
        load_mnist, "handwritten digits, 28x28 grey, 10 classes", _SIXTY, "CC BY-SA 3.0"
    ),
    "fashion-mnist": Known(
        load_fashion_mnist,
        "pieces of clothing, 28x28 grey, 10 classes",
        _SIXTY,
        "MIT",
        "cifar10",
    ),
    "cifar10": Known(
        load_cifar10,
        "objects and animals, 32x32 colour, 10 classes",
        {"train": 43_000, "calibration": 2_000, "validation": 5_000, "test": 10_000},
        "none stated; cite Krizhevsky 2009",
    ),
    "voc": Known(
        load_voc,
        "photographs of any size in colour, boxes of 20 classes, 2007 and 2012; calibration "
        "images are training images",
        {"train": 15_724, "calibration": 2_000, "validation": 827, "test": 4_952},
        "of Flickr's terms of use; for research",
        shaped=_devkit,
    ),
    "composed-voc": Known(
        load_composed_voc,
        "garments and digits on photographs, 160x160 colour, boxes of 20 classes; calibration "
        "images are training images",
        {"train": 6_000, "calibration": 2_000, "validation": 600, "test": 1_000},
        "of its pieces: MIT, CC BY(-SA) 3.0 and 4.0, CC0, GPL-2",
        "voc",
        _composed,
    ),
    "darknet": Known(
        load_darknet,
        "weights of yolov3-tiny, configurations, and photographs without labels, 80 classes",
        {"calibration": 4, "test": 3},
        "MIT; none stated for the weights; cite Redmon and Farhadi 2018",
    ),
}


def data_root(root: Path | None = None) -> Path:
    """Where fetched data lie: `root`, else $EDGEWISE_DATA, else the user's cache folder."""
    if root is not None:
        return root
    if folder := os.environ.get("EDGEWISE_DATA"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewise"


def load(
    spec: str,
    root: Path | None = None,
    shape: Shape | None = None,
    how: How | None = None,
) -> Dataset:
    """The data set that `spec` means: NAME, FOLDER, FILE.npz or `random`.

    shape: the network's input, needed for `random`. A name wins over a folder of the same name,
    which ./NAME means; a folder of the layout of VOC's devkit is read as one. Raises DataError when
    there is nothing of the kind, or a named set is not fetched; UsageError for a shape that is
    absent or cannot be.
    """
    how = how or How()
    if spec in KNOWN:
        return _named(spec, root, shape, how)
    if spec == "random":
        if shape is None:
            raise UsageError("random images need a shape; say --input-shape 3,224,224 or so.")
        return load_random(shape, how.seed)
    path = Path(spec).expanduser()
    if spec and path.is_dir():  # the empty path would be the current folder
        if is_devkit(path):
            return _devkit(path, shape, how, path.resolve().name)
        return load_folder(path, shape, how.progress)
    if path.suffix == ".npz":
        return load_arrays(path, shape)
    raise DataError(
        f"there is no data set, folder or file '{spec}'. What would do: {', '.join(KNOWN)}; a "
        "folder of images, FOLDER/CLASS/*.png or FOLDER/*.png; a folder with VOC2007 or VOC2012, "
        "laid out as VOC's devkit; FILE.npz with the array 'images'; or random, with --input-shape."
    )


def fetched(name: str, root: Path | None = None) -> Path:
    """The folder of a named set; raises DataError where it was not fetched."""
    folder = data_root(root) / name
    if not folder.is_dir():
        raise DataError(f"{name} is not in {folder}; `edgewise data fetch {name}` brings it.")
    return folder


def _named(name: str, root: Path | None, shape: Shape | None, how: How) -> Dataset:
    folder = fetched(name, root)
    known = KNOWN[name]
    if known.shaped is not None:
        return known.shaped(folder, shape, how)
    dataset = known.load(folder)
    if shape is None:
        return dataset
    return replace(dataset, contract=dataset.contract.resized(shape))
