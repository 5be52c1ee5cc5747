"""Draws are the same integers everywhere, and spread as they should be."""

import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.composed.draws import NOISE, NOISE_DEVIATION, Draws

PUBLISHED = [173, 490, 443, 785, 725, 971]
PUBLISHED_NOISE = [[0, 5, -6], [-1, -2, -2]]


def test_the_stream_is_the_published_one() -> None:
    draws = Draws(2012, 0, 1)
    assert [draws.between(0, 999) for _ in range(6)] == PUBLISHED
    assert draws.noise((2, 3)).tolist() == PUBLISHED_NOISE


@given(st.integers(0, 2**31), st.integers(-1000, 1000), st.integers(0, 1000))
def test_a_draw_lies_between_its_bounds(seed: int, low: int, more: int) -> None:
    draws = Draws(seed)
    assert all(low <= draws.between(low, low + more) <= low + more for _ in range(8))


def test_every_value_is_drawn_about_as_often() -> None:
    draws = Draws(1)
    found = np.bincount([draws.between(0, 9) for _ in range(20_000)], minlength=10)
    deviation = (20_000 * 0.1 * 0.9) ** 0.5
    assert np.abs(found - 2_000).max() < 5 * deviation


def test_other_seeds_draw_otherwise() -> None:
    rows = {tuple(Draws(2012, 0, index).noise((16,)).tolist()) for index in range(50)}
    assert len(rows) == 50


def test_no_entry_of_the_noise_is_near_a_tie() -> None:
    """So that the last digit of a machine's logarithm cannot change it."""
    normal = statistics.NormalDist(0, NOISE_DEVIATION)
    exact = np.array([normal.inv_cdf((level + 0.5) / 256) for level in range(256)])
    assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-6
    assert np.array_equal(NOISE, -NOISE[::-1])


def test_the_noise_is_normal() -> None:
    noise = Draws(3).noise((300, 301))
    assert noise.shape == (300, 301)
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - NOISE_DEVIATION) < 0.1
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02
