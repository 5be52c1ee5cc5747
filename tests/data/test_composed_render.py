"""What a picture of the composed set shows is what its objects say."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.data.composed import render as module
from edgewise.data.composed.canvas import bounds, cut, overlap, paste
from edgewise.data.composed.draws import Draws
from edgewise.data.composed.render import MOST_OBJECTS, SIDE, Pieces, render

BLACK = np.zeros((40, 60, 3), np.uint8)
NOTHING = np.zeros((8, 8, 4), np.uint8)
WHITE = np.full((28, 28), 255, np.uint8)


def flat() -> Pieces:
    """Opaque squares on black, so that the pixels themselves say where objects are."""
    return Pieces([BLACK], [NOTHING], [[WHITE]] * 20)


def rich() -> Pieces:
    """Noise of every kind, with glyphs that have an edge."""
    random = np.random.default_rng(0)
    photographs = list(random.integers(0, 256, (3, 70, 90, 3), np.uint8))
    cutouts = list(random.integers(0, 256, (3, 20, 31, 4), np.uint8))
    glyphs = random.integers(0, 256, (20, 2, 28, 28), np.uint8)
    glyphs[:, :, :4] = glyphs[:, :, :, 22:] = 0
    return Pieces(photographs, cutouts, [list(kind) for kind in glyphs])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_one_object_is_exactly_in_its_box(seed: int) -> None:
    pixels, objects = render(flat(), Draws(seed))
    assert 1 <= len(objects) <= MOST_OBJECTS
    if len(objects) == 1:
        lit = np.max(pixels, axis=2) > 26  # no tint is darker than 40, no noise above 12
        assert bounds(lit) == tuple(objects.boxes[0].astype(int))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_boxes_lie_in_the_picture_and_hardly_overlap(seed: int) -> None:
    pixels, objects = render(rich(), Draws(seed))
    assert pixels.shape == (SIDE, SIDE, 3)
    boxes = objects.boxes
    assert np.array_equal(boxes, boxes.round())
    assert boxes.min(initial=0) >= 0
    assert boxes.max(initial=SIDE) <= SIDE
    assert set(objects.classes.tolist()) <= set(range(20))
    whole = [tuple(int(edge) for edge in box) for box in boxes]
    for one, other in combinations(whole, 2):
        assert overlap(one, other) <= 0.25  # type: ignore[arg-type]


def test_pixels_are_the_published_ones() -> None:
    content = hashlib.sha256()
    for index in range(8):
        pixels, objects = render(rich(), Draws(2012, 9, index))
        content.update(pixels.tobytes() + objects.boxes.tobytes())
    assert content.hexdigest() == "402e4578d3f5820e1ca0d538e11e65ebd69e5496d3c683a216627d8077a87700"


def test_difficult_is_what_is_cut_off_or_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OBJECTS", 1)
    monkeypatch.setattr(module, "_SIZES", (24,))
    found = [render(flat(), Draws(seed))[1] for seed in range(300)]
    areas = np.array([np.prod(one.boxes[0, 2:] - one.boxes[0, :2]) for one in found])
    sides = np.array([(one.boxes[0, 2:] - one.boxes[0, :2]).min() for one in found])
    assert (areas < 24 * 24).any()
    # At most a sixth of a side is cut off: over two thirds are in the picture.
    assert sides.min() >= 20
    assert not any(one.difficult[0] for one in found)
    thin = WHITE.copy()
    thin[:, 9:] = 0  # at 24 px about 8 and what is blurred
    pieces = Pieces([BLACK], [NOTHING], [[thin]] * 10 + [[WHITE]] * 10)
    found = [render(pieces, Draws(seed))[1] for seed in range(100)]
    widths = [float(box[2] - box[0]) for one in found for box in one.boxes]
    marks = [bool(mark) for one in found for mark in one.difficult]
    assert marks == [width < 10 for width in widths]
    assert any(marks)
    assert not all(marks)
    assert min(widths) >= 5


def test_hardly_visible_objects_are_left_out() -> None:
    pieces = Pieces([BLACK], [NOTHING], [[np.zeros((28, 28), np.uint8)]] * 20)
    _, objects = render(pieces, Draws(0))
    assert len(objects) == 0
    assert objects.boxes.shape == (0, 4)


def test_distractors_are_seen_and_not_told_of() -> None:
    red = np.zeros((10, 20, 4), np.uint8)
    red[..., 0] = red[..., 3] = 255
    pieces = Pieces([BLACK], [red], [[np.zeros((28, 28), np.uint8)]] * 20)
    shown = [render(pieces, Draws(seed)) for seed in range(40)]
    assert not any(len(objects) for _, objects in shown)
    seen = [bool((pixels[..., 0] > 200).any()) for pixels, _ in shown]
    assert 15 < sum(seen) < 40


@given(
    st.integers(-12, 25), st.integers(-12, 25), st.integers(1, 9), st.integers(1, 9),
    st.integers(0, 255),
)  # fmt: skip
def test_pasting_is_blending_where_both_are(x: int, y: int, w: int, h: int, alpha: int) -> None:
    canvas = np.full((20, 17, 3), 100, np.uint8)
    paste(canvas, np.full((h, w, 3), 200, np.uint8), np.full((h, w), alpha, np.uint8), (x, y))
    rows, columns = np.mgrid[:20, :17]
    inside = (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)
    expected = np.where(inside, round(100 + 100 * alpha / 255), 100)
    assert np.array_equal(canvas, np.repeat(expected[..., None], 3, 2))
    part = cut((h, w), (x, y), (20, 17))
    assert (part is None) == (not inside.any())
    if part is not None:
        assert (part[2] - part[0]) * (part[3] - part[1]) == inside.sum()


def test_sizes_are_not_near_a_tie() -> None:
    """So that the last digit of a machine's power cannot change them."""
    exact = np.array([24 * 4 ** (step / 127) for step in range(128)])
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    assert module._SIZES[0] == 24
    assert module._SIZES[-1] == 96
