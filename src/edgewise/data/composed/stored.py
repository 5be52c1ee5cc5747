"""The composed set as it lies on disk: rendered once, then read as any other set.

Per split two IDX files: images (n, 160, 160, 3), and objects (n, 4, 6) with class, left, top,
right, bottom and difficult in a row, 255 as the class of no object. Their hashes are published, so
that files rendered by another recipe, or otherwise, are never taken for this set.
"""

from collections.abc import Mapping
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
        "e8231404d3ddf629fe979d8f8d311dc837ab4d8a5c15da8cbf2fc04692493808",
        "5436e0b9a7ca2a5bc18374737c0f3b726fb302b232fb8e33c98aa5d07ceddfce",
    ),
    "validation": (
        "887c6bdcb02134b468cdb48e045d1b52b2559ea4aabb3fdc5833aa62a9ee8c3c",
        "9a715dce4dfbe42f1751a4687f85ab8a84ea072d7b377fe212b48ed6959dc589",
    ),
    "test": (
        "9eb3d43b4186c64dd76129f9b72770570ce81969c4e909bee16ea86635daaac2",
        "f1d73570d0a7d487467f98377ebb8ff684346b77ff6742e06d1b7389ed016ada",
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
    return Pieces(list(photographs), [_trimmed(cutout) for cutout in cutouts], glyphs)


def _by_class(folder: Path, split: str) -> list[list[Pixels]]:
    """The images of each of ten classes: test from the official test set, the rest from train."""
    first = 2 if split == "test" else 0
    images, labels = (read_idx(folder / name) for name in mnist.FILES[first : first + 2])
    if split != "test":
        kept = slice(-_HELD_OUT, None) if split == "validation" else slice(None, -_HELD_OUT)
        images, labels = images[kept], labels[kept]
    return [list(images[labels == label]) for label in range(10)]


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
        unmirrored=tuple(range(len(mnist.GARMENTS), len(CLASSES))),
    )
    return dataset if shape is None else letterboxed(dataset, shape)


def _load(folder: Path, split: str) -> Split:
    images, objects = files_of(split)
    try:
        hashes = [check(folder / file.name, file) for file in (images, objects)]
    except DataError as error:
        raise DataError(
            f"composed-voc in {folder} is not the published set: {error}; "
            "`edgewise data fetch composed-voc` renders it."
        ) from error
    count = COUNTS[split]
    pixels = map_idx(folder / images.name, (count, SIDE, SIDE, 3))
    rows = map_idx(folder / objects.name, (count, MOST_OBJECTS, 6))
    digest = store.digest("".join(hashes).encode())
    return Split(split, ArrayImages(pixels), None, digest, tuple(map(objects_of, rows)))


def _calibration(train: Split) -> Split:
    """Training images: each is a draw of its own, so the first are as random as any others."""
    return replace(train.head(CALIBRATION), name="calibration")
