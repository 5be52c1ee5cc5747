"""Whole images on a grey ground: scaled until they fit, centred, their boxes moved along."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewise.data.dataset import Dataset, Images, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels, Shape
from edgewise.errors import DataError, UsageError

GREY = 128


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in an input: its size before and after, and its corner, in pixels.

    The image's edges become edges of whole pixels, so both directions have their own exact scale.
    """

    before: tuple[int, int]  # width, height
    after: tuple[int, int]
    corner: tuple[int, int]  # left, top

    def move(self, boxes: NDArray[Any]) -> NDArray[np.float64]:
        """Boxes (n, 4) of the image, left, top, right, bottom, in pixels of the input."""
        moved: NDArray[np.float64] = boxes.astype(np.float64) * self._scale() + self._shift()
        return moved

    def back(self, boxes: NDArray[Any]) -> NDArray[np.float64]:
        """Boxes of the input in pixels of the image; those on the ground lie outside of it."""
        back: NDArray[np.float64] = (boxes.astype(np.float64) - self._shift()) / self._scale()
        return back

    def _shift(self) -> NDArray[np.float64]:
        return np.tile(np.asarray(self.corner, np.float64), 2)

    def _scale(self) -> NDArray[np.float64]:
        return np.tile(np.asarray(self.after, np.float64) / np.asarray(self.before), 2)


def place(width: int, height: int, shape: Shape) -> Letterbox:
    """Where an image of that size lies in an input of `shape`: as large as it can be, centred."""
    _, high, wide = shape
    scale = min(wide / width, high / height)
    after = max(1, min(wide, round(width * scale))), max(1, min(high, round(height * scale)))
    return Letterbox((width, height), after, ((wide - after[0]) // 2, (high - after[1]) // 2))


def letterbox(image: Image.Image, shape: Shape) -> Pixels:
    """A picture as uint8 (height, width, 3), bilinear, grey (128) around it."""
    where = place(image.width, image.height, shape)
    left, top = where.corner
    canvas = np.full((shape[1], shape[2], 3), GREY, np.uint8)
    scaled = image.convert("RGB").resize(where.after, Image.Resampling.BILINEAR)
    canvas[top : top + where.after[1], left : left + where.after[0]] = np.asarray(scaled)
    return canvas


@dataclass(frozen=True)
class LetterboxedImages:
    """Other images, uint8 (n, height, width, 3), letterboxed when they are read."""

    images: Images
    shape: Shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, start: int, stop: int) -> Pixels:
        stored = self.images.read(start, stop)
        if stored.dtype != np.uint8 or stored.shape[-1] != 3:
            raise DataError(f"images of {stored.dtype}, {stored.shape}, cannot be letterboxed.")
        fitted = [letterbox(Image.fromarray(image), self.shape) for image in stored]
        return np.stack(fitted) if fitted else np.zeros((0, *self.shape[1:], 3), np.uint8)


def moved(objects: Objects, where: Letterbox) -> Objects:
    """The objects of an image in pixels of the input that it was letterboxed into."""
    boxes = where.move(objects.boxes).astype(np.float32)
    return Objects(objects.classes, boxes, objects.difficult)


def letterboxed(dataset: Dataset, shape: Shape) -> Dataset:
    """A set whose images are all of its contract's size, for an input of another size.

    Raises UsageError where the input has not 3 channels.
    """
    if shape == dataset.contract.shape:
        return dataset
    check_shape(shape)
    where = place(dataset.contract.width, dataset.contract.height, shape)
    splits = tuple(_letterboxed(split, where, shape) for split in dataset.splits)
    return replace(dataset, contract=dataset.contract.resized(shape), splits=splits)


def check_shape(shape: Shape) -> None:
    """Raises UsageError unless colour images can be letterboxed into `shape`."""
    if shape[0] != 3:
        raise UsageError(
            f"pictures in colour make an input of 3 channels, not {shape[0]}; "
            f"use --input-shape 3,{shape[1]},{shape[2]}."
        )


def _letterboxed(split: Split, where: Letterbox, shape: Shape) -> Split:
    objects = split.objects
    return replace(
        split,
        images=LetterboxedImages(split.images, shape),
        digest=f"{split.digest}@{shape[2]}x{shape[1]}",
        objects=None if objects is None else tuple(moved(one, where) for one in objects),
    )
