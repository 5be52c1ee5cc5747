"""Resizing in integers alone: other libraries round otherwise from version to version."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.preprocess import Pixels


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """An image (h, w, ...) of another size; colours under alpha 0 must be 0, or there is none.

    Each axis by itself: averages of whole pixels where it gets shorter, lines between the centres
    of pixels, in steps of 1/256, where it gets longer.
    """
    rows = _along_first(pixels, height)
    turned = np.ascontiguousarray(rows.swapaxes(0, 1))
    return np.ascontiguousarray(_along_first(turned, width).swapaxes(0, 1))


def premultiplied(pixels: Pixels) -> Pixels:
    """Colours (h, w, 4) times their alpha, as they must be to be averaged."""
    alpha = pixels[..., 3:].astype(np.int32)
    colours = (pixels[..., :3] * alpha + 127) // 255
    return np.concatenate([colours, alpha], -1).astype(np.uint8)


def straight(pixels: Pixels) -> Pixels:
    """Colours (h, w, 4) again without their alpha."""
    alpha = pixels[..., 3:].astype(np.int32)
    colours = np.minimum(255, pixels[..., :3].astype(np.int32) * 255 // np.maximum(1, alpha))
    return np.concatenate([colours, alpha], -1).astype(np.uint8)


def _along_first(pixels: Pixels, size: int) -> Pixels:
    return _shorter(pixels, size) if size <= len(pixels) else _longer(pixels, size)


def _shorter(pixels: Pixels, size: int) -> Pixels:
    edges = np.arange(size + 1) * len(pixels) // size
    sums = np.add.reduceat(pixels, edges[:-1], 0, dtype=np.int32)
    counts = _column(np.diff(edges), pixels.ndim)
    return ((sums + counts // 2) // counts).astype(np.uint8)


def _longer(pixels: Pixels, size: int) -> Pixels:
    # Centre i lies at (i + 1/2) * old / size - 1/2; twice the size makes that whole.
    twice = (2 * np.arange(size) + 1) * len(pixels) - size
    low = twice // (2 * size)
    share = _column((twice - low * 2 * size) * 256 // (2 * size), pixels.ndim)
    before = pixels[np.maximum(low, 0)].astype(np.int32)
    after = pixels[np.minimum(low + 1, len(pixels) - 1)].astype(np.int32)
    return ((before * (256 - share) + after * share + 128) >> 8).astype(np.uint8)


def _column(values: NDArray[Any], rank: int) -> NDArray[np.int32]:
    return values.astype(np.int32).reshape(-1, *[1] * (rank - 1))
