"""Noise in the shape of images: for sizes and latency, where no accuracy is asked for."""

import hashlib
from dataclasses import dataclass

import numpy as np

from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import Pixels, Shape, natural
from edgewise.data.splits import NAMES
from edgewise.errors import UsageError


@dataclass(frozen=True)
class RandomImages:
    """Uniform noise, uint8 (n, height, width, channels), made when it is read.

    Image i depends on nothing but the seed, the split and i.
    """

    shape: Shape
    count: int
    split: str
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def read(self, start: int, stop: int) -> Pixels:
        channels, height, width = self.shape
        images = np.empty(
            (max(0, min(stop, self.count) - start), height, width, channels), np.uint8
        )
        for index, image in enumerate(images, start):
            draw = np.random.default_rng((self.seed, NAMES.index(self.split), index))
            image[...] = draw.integers(0, 256, image.shape, np.uint8)
        return images


def load_random(shape: Shape, seed: int = 0, calibration: int = 256, test: int = 64) -> Dataset:
    """Noise images without labels, named `random` so that no figure from them is taken for more."""
    if seed < 0 or min(calibration, test) < 1:
        raise UsageError(
            f"random images need a seed of 0 or more and at least one image a split, not seed "
            f"{seed} with {calibration} and {test} images."
        )
    counts = {"calibration": calibration, "test": test}
    splits = tuple(_split(shape, name, count, seed) for name, count in counts.items())
    return Dataset("random", (), natural(shape), splits)


def _split(shape: Shape, name: str, count: int, seed: int) -> Split:
    described = f"random/1 {shape} {name} {count} {seed}"
    digest = hashlib.sha256(described.encode()).hexdigest()
    return Split(name, RandomImages(shape, count, name, seed), None, digest)
