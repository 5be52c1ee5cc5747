"""Letterboxing is a map with an exact inverse, and pixels and boxes go through the same one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.letterbox import LetterboxedImages, letterbox, letterboxed, moved, place
from edgewise.data.objects import Objects
from edgewise.data.preprocess import whole
from edgewise.errors import DataError, UsageError

SIZE = st.integers(1, 2000)


@given(SIZE, SIZE, SIZE, SIZE)
def test_the_whole_image_is_centred_and_as_large_as_it_can_be(
    width: int, height: int, high: int, wide: int
) -> None:
    where = place(width, height, (3, high, wide))
    after = np.array(where.after)
    margin = np.array([wide, high]) - after
    assert (margin >= 0).all()
    assert (margin == 0).any()
    assert np.array_equal(np.array(where.corner), margin // 2)
    # The other side is the exact one, to half a pixel or the one pixel that it needs.
    scale = min(wide / width, high / height)
    exact = np.array([width, height]) * scale
    assert (np.abs(after - exact) <= np.maximum(0.5, 1 - exact) + 1e-9).all()


@given(SIZE, SIZE, SIZE, SIZE, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_back_is_the_inverse(
    width: int, height: int, high: int, wide: int, shares: list[float]
) -> None:
    where = place(width, height, (3, high, wide))
    box = np.array([shares]) * [width, height, width, height]
    there = where.move(box)
    assert np.allclose(where.back(there), box, rtol=1e-12, atol=1e-9)
    corners = where.move(np.array([[0, 0, width, height]]))[0]
    expected = [*where.corner, *(np.array(where.corner) + where.after)]
    assert np.allclose(corners, expected, rtol=1e-14, atol=1e-9)
    assert (there >= corners[:2].tolist() * 2 - np.float64(1e-9)).all()


@pytest.mark.parametrize("shape", [(3, 80, 80), (3, 40, 100), (3, 60, 80)])
def test_pixels_go_where_their_box_goes(shape: tuple[int, int, int]) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[5:11, 12:31] = 255
    box = np.array([[12, 5, 31, 11]], np.float32)
    where = place(40, 20, shape)
    fitted = letterbox(Image.fromarray(pixels), shape)
    left, top = where.corner
    inside = fitted[top : top + where.after[1], left : left + where.after[0]]
    lit = inside[..., 0] > 127
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    found = [columns[0] + left, rows[0] + top, columns[-1] + 1 + left, rows[-1] + 1 + top]
    assert where.move(box)[0].tolist() == found
    ground = np.ones(shape[1:], bool)
    ground[top : top + where.after[1], left : left + where.after[0]] = False
    assert (fitted[ground] == 128).all()


@given(SIZE.map(lambda size: size % 60 + 1), SIZE.map(lambda size: size % 60 + 1))
def test_a_flat_image_stays_flat(width: int, height: int) -> None:
    fitted = letterbox(Image.new("L", (width, height), 77), (3, 32, 48))
    where = place(width, height, (3, 32, 48))
    assert (fitted == 77).sum() == 3 * where.after[0] * where.after[1]
    assert (fitted == 128).sum() == fitted.size - (fitted == 77).sum()


def a_set() -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    boxes = np.array([[1, 2, 3, 5]], np.float32)
    one = Objects(np.zeros(1, np.int64), boxes, np.ones(1, np.bool_))
    split = Split("test", ArrayImages(pixels), None, "x", (one,) * 3)
    return Dataset("a", ("b",), whole((3, 16, 16)), (split,))


def test_a_set_for_another_input() -> None:
    plain = a_set()
    assert letterboxed(plain, (3, 16, 16)) is plain
    large = letterboxed(plain, (3, 32, 64))
    split = large.split("test")
    assert (len(split), split.digest) == (3, "x@64x32")
    assert split.objects is not None
    assert split.objects[2].boxes.tolist() == [[18, 4, 22, 10]]
    assert split.objects[2].difficult.tolist() == [True]
    assert split.images.read(1, 1).shape == (0, 32, 64, 3)
    assert next(split.batches(3, large.contract)).shape == (3, 3, 32, 64)
    unlooked = Split("test", ArrayImages(np.zeros((1, 16, 16, 3), np.uint8)), None, "x")
    fitted = letterboxed(Dataset("a", (), whole((3, 16, 16)), (unlooked,)), (3, 8, 8))
    assert fitted.split("test").objects is None


def test_what_cannot_be_letterboxed() -> None:
    with pytest.raises(UsageError, match="--input-shape 3,32,32"):
        letterboxed(a_set(), (1, 32, 32))
    grey = LetterboxedImages(ArrayImages(np.zeros((1, 8, 8, 1), np.uint8)), (3, 16, 16))
    with pytest.raises(DataError, match="cannot be letterboxed"):
        grey.read(0, 1)


def test_a_moved_object_keeps_what_it_is() -> None:
    split = a_set().split("test")
    assert split.objects is not None
    there = moved(split.objects[0], place(16, 16, (3, 8, 8)))
    assert there.boxes.dtype == np.float32
    assert there.classes.tolist() == [0]
