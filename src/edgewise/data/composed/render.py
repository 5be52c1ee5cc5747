"""One picture of the composed set: objects pasted on a photograph.

Everything is integer arithmetic on what Draws gives, so pixels are the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.data.composed.canvas import Box, bounds, cut, overlap, paste
from edgewise.data.composed.draws import Draws
from edgewise.data.composed.resize import resized, straight
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels

GARMENTS = 10  # the first classes; digits follow

SIDE = 160
MOST_OBJECTS = 4
_MOST_CUTOUTS = 2
_SIZES = tuple(round(24 * 4 ** (step / 127)) for step in range(128))  # log-uniform, 24 to 96 px
_CUTOUT_SIZES = (24, 64)
_CROP_PERCENT = (40, 100)
_DARKEST = 40
_WHITENED = 76  # at most this share, of 256, of an object's colour is its own grey
_VISIBLE = 76  # an alpha above this counts as visible, of 255
_LEAST_VISIBLE = 12  # pixels
_LEAST_SIDE = 5
_SMALL_SIDE = 10
_MOST_OVERLAP = 0.25
_TRIES = 20


@dataclass(frozen=True)
class Pieces:
    """What a split is composed of.

    photographs: uint8 (height, width, 3); cutouts: uint8 (height, width, 4), the last is
    alpha, which colours are multiplied by; glyphs: per class several, uint8 (28, 28), brightness on
    black, garments first.
    """

    photographs: Sequence[Pixels]
    cutouts: Sequence[Pixels]
    glyphs: Sequence[Sequence[Pixels]]


def render(pieces: Pieces, draws: Draws) -> tuple[Pixels, Objects]:
    """A picture, uint8 (160, 160, 3), and its objects; 1 to 4 of them, 0 to 2 cut-outs behind.

    An object is difficult when less than half of it is in the picture, or a side is under 10 px.
    """
    canvas = _background(draws.one_of(pieces.photographs), draws)
    for _ in range(draws.between(0, _MOST_CUTOUTS)):
        _distract(canvas, draws.one_of(pieces.cutouts), draws)
    placed: list[tuple[int, Box, bool]] = []
    for _ in range(draws.between(1, MOST_OBJECTS)):
        kind = draws.between(0, len(pieces.glyphs) - 1)
        sprite = _Sprite.of(draws.one_of(pieces.glyphs[kind]), kind, draws)
        found = _place(canvas, sprite, [box for _, box, _ in placed], draws)
        if found is not None:
            placed.append((kind, *found))
    noisy = canvas + draws.noise(canvas.shape)
    return noisy.clip(0, 255).astype(np.uint8), _objects(placed)


def _background(photograph: Pixels, draws: Draws) -> Pixels:
    height, width = photograph.shape[:2]
    side = min(height, width) * draws.between(*_CROP_PERCENT) // 100
    left, top = draws.between(0, width - side), draws.between(0, height - side)
    part = photograph[top : top + side, left : left + side]
    canvas = resized(part, SIDE, SIDE)
    return canvas[:, ::-1].copy() if draws.between(0, 1) else canvas


def _distract(canvas: Pixels, cutout: Pixels, draws: Draws) -> None:
    """Paste a cut-out that nobody is to find."""
    longest = draws.between(*_CUTOUT_SIZES)
    height, width = cutout.shape[:2]
    scale = max(height, width)
    size = max(2, height * longest // scale), max(2, width * longest // scale)
    small = straight(resized(cutout, *size))
    at = (
        draws.between(-longest // 4, SIDE - longest // 2),
        draws.between(-longest // 4, SIDE - longest // 2),
    )
    paste(canvas, small[..., :3], small[..., 3], at)


@dataclass(frozen=True)
class _Sprite:
    """An object ready to be pasted: colours (z, z, 3), alpha (z, z), and where it is visible."""

    colours: Pixels
    alpha: Pixels
    visible: NDArray[np.bool_]

    @staticmethod
    def of(glyph: Pixels, kind: int, draws: Draws) -> "_Sprite":
        size = draws.one_of(_SIZES)
        tint = np.array([draws.between(_DARKEST, 255) for _ in range(3)], np.int32)
        whitened = draws.between(0, _WHITENED)
        level = resized(glyph, size, size).astype(np.int32)[..., None]
        # A garment keeps its shades and is opaque where it is dark; a digit is a flat stroke.
        garment = kind < GARMENTS
        base = level * tint // 255 if garment else np.broadcast_to(tint, (size, size, 3))
        colours = (base * (256 - whitened) + level * whitened) >> 8
        alpha = np.minimum(255, level[..., 0] * 4 if garment else level[..., 0] * 3 // 2)
        return _Sprite(colours.astype(np.uint8), alpha.astype(np.uint8), alpha > _VISIBLE)


def _place(
    canvas: Pixels, sprite: _Sprite, taken: Sequence[Box], draws: Draws
) -> tuple[Box, bool] | None:
    """Paste at the first of twenty drawn places that is free: the box, and whether it is difficult.

    None where none is, or where hardly anything of the object is visible.
    """
    size, whole = len(sprite.alpha), int(sprite.visible.sum())
    if whole < _LEAST_VISIBLE:
        return None
    for _ in range(_TRIES):
        at = (
            draws.between(-(size // 6), SIDE - size + size // 6),
            draws.between(-(size // 6), SIDE - size + size // 6),
        )
        box, seen = _seen(sprite.visible, at)
        if box is None or min(box[2] - box[0], box[3] - box[1]) < _LEAST_SIDE:
            continue
        if all(overlap(box, other) <= _MOST_OVERLAP for other in taken):
            paste(canvas, sprite.colours, sprite.alpha, at)
            short = min(box[2] - box[0], box[3] - box[1])
            return box, 2 * seen < whole or short < _SMALL_SIDE
    return None


def _seen(visible: NDArray[np.bool_], at: tuple[int, int]) -> tuple[Box | None, int]:
    """The box around the visible pixels that are in the picture, and their number."""
    inside = cut(visible.shape, at, (SIDE, SIDE))
    if inside is None:
        return None, 0
    part = visible[inside[1] : inside[3], inside[0] : inside[2]]
    if not part.any():
        return None, 0
    left, top, right, bottom = bounds(part)
    x, y = at[0] + inside[0], at[1] + inside[1]
    return (x + left, y + top, x + right, y + bottom), int(part.sum())


def _objects(placed: Sequence[tuple[int, Box, bool]]) -> Objects:
    return Objects(
        np.array([kind for kind, _, _ in placed], np.int64),
        np.array([box for _, box, _ in placed], np.float32).reshape(-1, 4),
        np.array([difficult for _, _, difficult in placed], np.bool_),
    )
