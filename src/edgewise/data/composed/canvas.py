"""Pasting on a picture, in integers alone."""

import numpy as np
from numpy.typing import NDArray

from edgewise.data.preprocess import Pixels

Box = tuple[int, int, int, int]  # left, top, right, bottom


def paste(canvas: Pixels, colours: Pixels, alpha: Pixels, at: tuple[int, int]) -> None:
    """Blend colours (h, w, 3) into the canvas by alpha (h, w), 255 is opaque; `at` is left, top.

    What lies outside the canvas is cut off.
    """
    inside = cut(alpha.shape[:2], at, canvas.shape[:2])
    if inside is None:
        return
    left, top, right, bottom = inside
    place = canvas[at[1] + top : at[1] + bottom, at[0] + left : at[0] + right]
    weight = alpha[top:bottom, left:right, None].astype(np.int32)
    over = colours[top:bottom, left:right].astype(np.int32)
    place[...] = (place * (255 - weight) + over * weight + 127) // 255


def cut(size: tuple[int, ...], at: tuple[int, int], canvas: tuple[int, ...]) -> Box | None:
    """The part of a patch of `size` (height, width) that lies on the canvas, in its own pixels."""
    left, top = max(0, -at[0]), max(0, -at[1])
    right, bottom = min(size[1], canvas[1] - at[0]), min(size[0], canvas[0] - at[1])
    return (left, top, right, bottom) if left < right and top < bottom else None


def bounds(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around what is set; something must be."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def overlap(one: Box, other: Box) -> float:
    """The share of the smaller box that the other covers."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, wide) * max(0, high) / min(_area(one), _area(other))


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
