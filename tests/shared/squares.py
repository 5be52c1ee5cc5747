"""Images with bright squares to find: a set with boxes that needs no fetching."""

import numpy as np

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import whole


def squares(name: str, count: int, side: int = 64, classes: int = 2, seed: int = 0) -> Split:
    """Bright squares on a dark ground, one in every image, its class its colour."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 40, (count, side, side, 3), dtype=np.uint8)
    objects = []
    for image in pixels:
        size, label = int(draw.integers(10, 28)), int(draw.integers(classes))
        left, top = draw.integers(0, side - size, 2)
        image[top : top + size, left : left + size, label] = 230
        box = np.array([[left, top, left + size, top + size]], np.float32)
        objects.append(Objects(np.array([label]), box, np.zeros(1, bool)))
    return Split(name, ArrayImages(pixels), None, f"squares-{side}-{seed}", tuple(objects))


def squares_set(side: int = 64) -> Dataset:
    """Small splits of such images."""
    counts = {"train": 64, "calibration": 8, "validation": 6, "test": 12}
    splits = (squares(name, n, side, seed=place) for place, (name, n) in enumerate(counts.items()))
    return Dataset("squares", ("red", "green"), whole((3, side, side)), tuple(splits), "voc")
