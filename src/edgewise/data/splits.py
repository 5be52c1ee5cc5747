"""Disjoint splits, the same on every machine, recorded by hash."""

import hashlib
from collections.abc import Mapping

import numpy as np

from edgewise.data.dataset import ArrayImages, Labels, Split
from edgewise.data.preprocess import Pixels
from edgewise.errors import DataError

_ORDER_SEED = 20_260_101  # of the published order; changing it changes every split


def array_split(name: str, pixels: Pixels, labels: Labels | None) -> Split:
    """A split of images in memory; raises DataError when labels do not match."""
    if labels is not None and len(labels) != len(pixels):
        raise DataError(f"split '{name}' has {len(pixels)} images and {len(labels)} labels.")
    pixels = np.ascontiguousarray(pixels)
    content = hashlib.sha256(f"{pixels.shape}".encode())
    content.update(memoryview(pixels).cast("B"))
    if labels is not None:
        content.update(labels.astype("<i8").tobytes())
    return Split(name, ArrayImages(pixels), labels, content.hexdigest())


def partition(pixels: Pixels, labels: Labels, sizes: Mapping[str, int]) -> tuple[Split, ...]:
    """Disjoint splits of the given sizes, drawn without replacement in one fixed random order.

    Raises DataError when there are fewer images than the sizes add up to.
    """
    if sum(sizes.values()) > len(pixels):
        raise DataError(f"{len(pixels)} images cannot be split into {dict(sizes)}.")
    order = np.random.default_rng(_ORDER_SEED).permutation(len(pixels))
    splits, start = [], 0
    for name, size in sizes.items():
        chosen = np.sort(order[start : start + size])
        splits.append(array_split(name, pixels[chosen], labels[chosen]))
        start += size
    return tuple(splits)
