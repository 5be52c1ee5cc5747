"""Disjoint splits, the same on every machine, recorded by hash."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.dataset import ArrayImages, Labels, Split
from edgewise.data.preprocess import Stored
from edgewise.errors import DataError

Indices = NDArray[np.int64]

NAMES = ("train", "calibration", "validation", "test")

_ORDER_SEED = 20_260_101  # of the published order; changing it changes every split
_LABELLED = {"calibration": 10, "validation": 15, "test": 15}  # percent; training has the rest


def array_split(name: str, pixels: Stored, labels: Labels | None) -> Split:
    """A split of images in memory; raises DataError when labels do not match."""
    if labels is not None and len(labels) != len(pixels):
        raise DataError(f"split '{name}' has {len(pixels)} images and {len(labels)} labels.")
    contiguous: NDArray[Any] = np.ascontiguousarray(pixels)
    content = hashlib.sha256(f"{contiguous.shape}".encode())
    content.update(contiguous.data.cast("B"))
    if labels is not None:
        content.update(labels.astype("<i8").tobytes())
    return Split(name, ArrayImages(contiguous), labels, content.hexdigest())


def partition(pixels: Stored, labels: Labels, sizes: Mapping[str, int]) -> tuple[Split, ...]:
    """Disjoint splits of the given sizes, drawn without replacement in one fixed random order.

    Raises DataError when there are fewer images than the sizes add up to, or not a label for each.
    """
    if sum(sizes.values()) > len(pixels):
        raise DataError(f"{len(pixels)} images cannot be split into {dict(sizes)}.")
    if len(labels) != len(pixels):
        raise DataError(f"there are {len(pixels)} images and {len(labels)} labels.")
    chosen = _draw(len(pixels), sizes)
    return tuple(array_split(name, pixels[part], labels[part]) for name, part in chosen.items())


def divide(count: int, labelled: bool, what: str) -> dict[str, Indices]:
    """Which of `count` images go where, when nobody has said: split name -> sorted indices.

    Labelled images: 60 % train, 10 % calibration, 15 % validation, 15 % test. Without labels there
    is nothing to learn or to validate: half calibration, half test. No split is ever empty: raises
    DataError, which speaks of `what`, for fewer images than splits.
    """
    if labelled:
        sizes = {name: max(1, count * share // 100) for name, share in _LABELLED.items()}
        sizes = {"train": count - sum(sizes.values()), **sizes}
    else:
        sizes = {"calibration": count - count // 2, "test": count // 2}
    if min(sizes.values()) < 1:
        raise DataError(
            f"{what} holds {count} images, too few to give each of {', '.join(sizes)} one; "
            f"add images, at least {len(sizes)} in all and better hundreds."
        )
    return _draw(count, sizes)


def _draw(count: int, sizes: Mapping[str, int]) -> dict[str, Indices]:
    order = np.random.default_rng(_ORDER_SEED).permutation(count)
    parts, start = {}, 0
    for name, size in sizes.items():
        parts[name] = np.sort(order[start : start + size])
        start += size
    return parts
