"""Resizing agrees with its definition in exact fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.composed.resize import premultiplied, resized, straight
from edgewise.data.preprocess import Pixels


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**31))
def test_one_axis_is_its_definition(before: int, after: int, seed: int) -> None:
    line = np.random.default_rng(seed).integers(0, 256, (before, 1), np.uint8)
    found = resized(line, after, 1)[:, 0]
    for index, value in enumerate(found.tolist()):
        assert abs(value - expected(line[:, 0].tolist(), index, after)) <= (
            Fraction(1, 2) if after <= before else Fraction(3, 2)
        )


def expected(line: list[int], index: int, size: int) -> Fraction:
    """The mean of the pixels of a block, or the line between two centres."""
    count = len(line)
    if size <= count:
        block = line[index * count // size : (index + 1) * count // size]
        return Fraction(sum(block), len(block))
    place = Fraction(2 * index + 1, 2) * Fraction(count, size) - Fraction(1, 2)
    place = min(max(place, Fraction(0)), Fraction(count - 1))
    low = int(place)
    high = min(low + 1, count - 1)
    return line[low] + (place - low) * (line[high] - line[low])


@given(*[st.integers(1, 30)] * 4, st.integers(0, 255))
def test_a_flat_image_stays_flat(h: int, w: int, high: int, wide: int, value: int) -> None:
    made = resized(np.full((h, w, 3), value, np.uint8), high, wide)
    assert made.shape == (high, wide, 3)
    assert (made == value).all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_the_same_size_is_the_same_image(height: int, width: int, seed: int) -> None:
    image = noise(seed, height, width)
    assert np.array_equal(resized(image, height, width), image)
    turned = resized(image.swapaxes(0, 1), 7, 9)
    # Axes are independent, up to the rounding of the first.
    assert np.abs(turned.swapaxes(0, 1).astype(int) - resized(image, 9, 7)).max() <= 2


@given(st.integers(0, 2**31))
def test_colours_under_alpha_come_back(seed: int) -> None:
    image = noise(seed, 6, 7)
    back = straight(premultiplied(image)).astype(int)
    assert np.array_equal(back[..., 3], image[..., 3])
    seen = image[..., 3] > 0
    error = np.abs(back[..., :3] - image[..., :3])[seen]
    assert (error <= 1 + 255 / image[..., 3][seen][:, None]).all()
    opaque = image.copy()
    opaque[..., 3] = 255
    assert np.array_equal(straight(premultiplied(opaque)), opaque)
    opaque[..., 3] = 0
    assert not straight(premultiplied(opaque)).any()


def test_what_is_hidden_does_not_shine_through() -> None:
    image = np.zeros((8, 8, 4), np.uint8)
    image[..., 0] = 200  # red, but visible on the left alone
    image[:, :3, 3] = 255
    image[:, 3:, :3] = (0, 255, 0)
    small = straight(resized(premultiplied(image), 4, 4))
    seen = small[..., 3] > 0
    assert (small[seen][:, 0] >= 199).all()
    assert (small[seen][:, 1] == 0).all()


def noise(seed: int, height: int, width: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
