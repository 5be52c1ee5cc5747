"""What three executors find in the same images, and the objects there, as one file of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from edgewise.data.npz import from_npz, to_npz
from edgewise.data.objects import Objects
from edgewise.errors import DataError
from edgewise.tasks.detection.detections import COLUMNS, Detections, Rows, from_rows

Found = tuple[Detections, ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """What each executor finds in every image.

    network: the user's float network; simulation: the compressed network in PyTorch; artifact: the
    file in its runtime on the device.
    """

    network: Found
    simulation: Found
    artifact: Found


def pack(seen: Seen, objects: Sequence[Objects] | None) -> bytes:
    """The file: of each executor rows (k, 7) of image, class, score, left, top, right, bottom.

    Objects are rows with a mark of difficulty in place of a score, where they are known.
    """
    arrays = {field.name: to_rows(getattr(seen, field.name)) for field in fields(seen)}
    if objects is not None:
        arrays["objects"] = object_rows(objects)
    return to_npz({"images": np.array(len(seen.network)), **arrays})


def unpack(content: bytes) -> tuple[Seen, tuple[Objects, ...] | None]:
    """What `pack` wrote; raises DataError where the file is another or damaged."""
    stored = from_npz(content)
    try:
        images = int(stored["images"])
        found = [from_rows(stored[field.name], images) for field in fields(Seen)]
        objects = _objects(stored["objects"], images) if "objects" in stored else None
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"these are no stored detections: {error!r}.") from error
    return Seen(*found), objects


def to_rows(found: Sequence[Detections]) -> Rows:
    """The rows that `from_rows` reads."""
    parts = [
        np.column_stack((np.full(len(one), place), one.classes, one.scores, one.boxes))
        for place, one in enumerate(found)
    ]
    return _joined(parts)


def differing(first: Sequence[Detections], second: Sequence[Detections]) -> int:
    """In how many images two executors do not find exactly the same; raises DataError where there
    are not as many.
    """
    if len(first) != len(second):
        raise DataError(f"detections in {len(first)} images and in {len(second)}.")
    pairs = zip(first, second, strict=True)
    return sum(not np.array_equal(to_rows([one]), to_rows([other])) for one, other in pairs)


def object_rows(objects: Sequence[Objects]) -> Rows:
    """Rows (m, 7): image, class, difficult, left, top, right, bottom."""
    parts = [
        np.column_stack((np.full(len(one), place), one.classes, one.difficult, one.boxes))
        for place, one in enumerate(objects)
    ]
    return _joined(parts)


def _objects(rows: Rows, images: int) -> tuple[Objects, ...]:
    if rows.ndim != 2 or rows.shape[1] != COLUMNS or not np.isfinite(rows).all():
        raise DataError(f"objects are rows of {COLUMNS} numbers, not of shape {rows.shape}.")
    place, classes = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    if len(rows) and (place.min() < 0 or place.max() >= images or (np.diff(place) < 0).any()):
        raise DataError("rows of objects come in the order of their images.")
    ends = np.searchsorted(place, np.arange(images + 1))
    return tuple(
        Objects(classes[start:stop], rows[start:stop, 3:], rows[start:stop, 2] > 0)
        for start, stop in zip(ends[:-1], ends[1:], strict=True)
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    return np.concatenate((np.zeros((0, COLUMNS)), *parts)).astype(np.float32)
