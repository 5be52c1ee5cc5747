"""The composed set as it lies on disk: rendered once, then read as any other set.

Per split two IDX files: images (n, 160, 160, 3), and objects (n, 4, 6) with class, left, top,
right, bottom and difficult in a row, 255 as the class of no object. Their hashes are published, so
that files rendered by another recipe, or otherwise, are never taken for this set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise import store
from edgewise.data import mnist
from edgewise.data.acquire import File, check
from edgewise.data.composed.draws import Draws
from edgewise.data.composed.pieces import CUTOUTS, PHOTOGRAPHS, cutouts_of, photographs_of
from edgewise.data.composed.render import MOST_OBJECTS, SIDE, Pieces, render
from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.idx import idx_header, map_idx, read_idx
from edgewise.data.letterbox import letterboxed
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels, Shape, whole
from edgewise.errors import DataError
from edgewise.progress import Progress, silent

CLASSES = (*mnist.GARMENTS, *(str(digit) for digit in range(10)))
COUNTS: Mapping[str, int] = {"train": 6_000, "validation": 600, "test": 1_000}
CALIBRATION = 2_000  # of the training images, as the study does
NONE = 255

_SEED = 2012
_HELD_OUT = 6_000  # of the official training images of each set, for validation
_IMAGE_BYTES = SIDE * SIDE * 3
_OBJECT_BYTES = MOST_OBJECTS * 6
_HASHES: Mapping[str, tuple[str, str]] = {
    "train": (
        "a9babd44b3caa8d872a00a7eb8617a478930e239d95c8e7af9b4377bf0a15bf1",
        "2adf5d49f3f199c0b5d7e33b9144c71b39248eaa97950367389790758b2e2a6d",
    ),
    "validation": (
        "41f06a1ba13822ddb288c4069472d60b4ee64ac57ed65fb69f24d4078aa5ef62",
        "b3e5885d5552bfd1ba057bac40afc100da64281a7934f65290a2f4c7f326222e",
    ),
    "test": (
        "81e67f316a5b1a1b1e32735a74a30fab67de1ae3dcdda2e4d767c084bc6e36b6",
        "3e8039124d2cf9b0bef36f661b01504b93fb1ec01b94d91e1c1b1f347e22805b",
    ),
}


def files_of(split: str) -> tuple[File, File]:
    """The files of a split: its images and its objects."""
    count, (images, objects) = COUNTS[split], _HASHES[split]
    return (
        File(f"{split}-images-idx4-ubyte", 20 + count * _IMAGE_BYTES, images),
        File(f"{split}-objects-idx3-ubyte", 16 + count * _OBJECT_BYTES, objects),
    )


FILES = tuple(file for split in COUNTS for file in files_of(split))


def make(folder: Path, progress: Progress = silent) -> None:
    """Render the set in `folder`, which has the pieces, from the digits and garments beside it.

    A split whose files hold is left as it is. Raises DataError where pieces are missing, or where
    what was rendered is not the published set.
    """
    for number, split in enumerate(COUNTS):
        if not _holds(folder, split):
            _make(folder, split, number, progress)


def _holds(folder: Path, split: str) -> bool:
    try:
        for file in files_of(split):
            check(folder / file.name, file)
    except DataError:
        return False
    return True


def _make(folder: Path, split: str, number: int, progress: Progress) -> None:
    pieces, count = _pieces(folder, split), COUNTS[split]
    images, objects = files_of(split)
    rows = np.full((count, MOST_OBJECTS, 6), NONE, np.uint8)
    with store.atomic(folder / images.name) as part, part.open("wb") as handle:
        handle.write(idx_header((count, SIDE, SIDE, 3)))
        for index in range(count):
            pixels, found = render(pieces, Draws(_SEED, number, index))
            handle.write(pixels.tobytes())
            rows[index, : len(found)] = rows_of(found)
            progress(f"render {split}", index + 1, count)
    store.write_bytes(folder / objects.name, idx_header(rows.shape) + rows.tobytes())
    for file in (images, objects):
        try:
            check(folder / file.name, file)
        except DataError as error:
            raise DataError(
                f"composed-voc came out otherwise than it was published: {error}. The versions in "
                "constraints.txt are those that are known to give the same pixels."
            ) from error


def rows_of(objects: Objects) -> NDArray[np.uint8]:
    """Class, left, top, right, bottom, difficult of each; the box must be of whole pixels."""
    columns = (objects.classes[:, None], objects.boxes, objects.difficult[:, None])
    return np.concatenate(columns, 1).astype(np.uint8)


def objects_of(rows: NDArray[np.uint8]) -> Objects:
    """The objects in the rows of one image."""
    there = rows[rows[:, 0] != NONE]
    return Objects(
        there[:, 0].astype(np.int64), there[:, 1:5].astype(np.float32), there[:, 5].astype(np.bool_)
    )


def _pieces(folder: Path, split: str) -> Pieces:
    """What a split is made of; no piece is in two splits."""
    photographs = read_idx(folder / PHOTOGRAPHS)[photographs_of(split)]
    cutouts = read_idx(folder / CUTOUTS)[cutouts_of(split)]
    glyphs = [
        kind
        for name in ("fashion-mnist", "mnist")
        for kind in _by_class(folder.parent / name, split)
    ]
    return Pieces(photographs, [_trimmed(cutout) for cutout in cutouts], glyphs)


def _by_class(folder: Path, split: str) -> Sequence[Pixels]:
    """The images of each of ten classes: test from the official test set, the rest from train."""
    first = 2 if split == "test" else 0
    images, labels = (read_idx(folder / name) for name in mnist.FILES[first : first + 2])
    if split != "test":
        kept = slice(-_HELD_OUT, None) if split == "validation" else slice(None, -_HELD_OUT)
        images, labels = images[kept], labels[kept]
    return [images[labels == label] for label in range(10)]


def _trimmed(cutout: Pixels) -> Pixels:
    """Without the rows and columns at the end that hold nothing."""
    there = cutout[..., 3] > 0
    bottom, right = np.flatnonzero(there.any(1))[-1] + 1, np.flatnonzero(there.any(0))[-1] + 1
    return cutout[:bottom, :right]


def load_composed_voc(folder: Path, shape: Shape | None = None) -> Dataset:
    """The composed set, letterboxed into `shape` (3,160,160 unless given).

    6,000 train, 600 validation, 1,000 test; calibration is 2,000 of the training images, as in the
    study, so it is no split of its own. Raises DataError where the set is not rendered, or is not
    the published one.
    """
    splits = {split: _load(folder, split) for split in COUNTS}
    dataset = Dataset(
        "composed-voc",
        CLASSES,
        whole((3, SIDE, SIDE)),
        (splits["train"], _calibration(splits["train"]), splits["validation"], splits["test"]),
        stand_in_for="voc",
    )
    return dataset if shape is None else letterboxed(dataset, shape)


def _load(folder: Path, split: str) -> Split:
    files = files_of(split)
    for file in files:
        try:
            check(folder / file.name, file)
        except DataError as error:
            raise DataError(
                f"composed-voc in {folder} is not the published set: {error}; "
                "`edgewise data fetch composed-voc` renders it."
            ) from error
    count = COUNTS[split]
    pixels = map_idx(folder / files[0].name, (count, SIDE, SIDE, 3))
    rows = map_idx(folder / files[1].name, (count, MOST_OBJECTS, 6))
    digest = store.digest("".join(str(file.sha256) for file in files).encode())
    return Split(split, ArrayImages(pixels), None, digest, tuple(map(objects_of, rows)))


def _calibration(train: Split) -> Split:
    """Training images: each is a draw of its own, so the first are as random as any others."""
    return replace(train.head(CALIBRATION), name="calibration")
