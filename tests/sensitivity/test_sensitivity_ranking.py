import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.sensitivity.ranking import agreement, ranks, spearman

NUMBERS = st.lists(st.integers(-50, 50), min_size=2, max_size=20)


@given(NUMBERS)
def test_a_rank_is_one_more_than_how_many_are_smaller_plus_half_the_ties(values: list[int]) -> None:
    found = ranks(np.array(values, dtype=np.float64))
    for value, rank in zip(values, found, strict=True):
        smaller = sum(other < value for other in values)
        assert rank == smaller + (values.count(value) + 1) / 2


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_without_ties_it_is_the_formula_of_differences(count: int) -> None:
    one = np.arange(count, dtype=np.float64)
    for order in itertools.permutations(range(count)):
        other = np.array(order, dtype=np.float64)
        expected = 1 - 6 * ((one - other) ** 2).sum() / (count * (count**2 - 1))
        assert spearman(one, other) == pytest.approx(expected, abs=1e-12)


@given(NUMBERS)
def test_it_sees_order_alone(values: list[int]) -> None:
    one = np.array(values, dtype=np.float64)
    other = np.random.default_rng(len(values)).normal(size=len(values))
    rho = spearman(one, other)
    if len(set(values)) == 1:
        assert rho is None
        return
    assert rho is not None
    assert spearman(np.exp(one / 50), other**3) == pytest.approx(rho, abs=1e-9)
    assert spearman(-one, other) == pytest.approx(-rho, abs=1e-9)
    assert spearman(other, one) == pytest.approx(rho, abs=1e-9)
    order = np.random.default_rng(0).permutation(len(values))
    assert spearman(one[order], other[order]) == pytest.approx(rho, abs=1e-9)
    assert spearman(one, one) == pytest.approx(1)


def test_the_interval_is_of_the_draws() -> None:
    measured = np.array([1.0, 2, 3, 4])
    same = agreement(measured, measured, np.tile(measured, (50, 1)))
    assert same is not None
    assert (same.low, same.value, same.high) == pytest.approx((1, 1, 1))
    draws = np.random.default_rng(0).normal(measured, 3, (500, 4))
    noisy = agreement(measured, measured, draws)
    assert noisy is not None
    assert noisy.low < 0 < noisy.high <= 1


def test_two_parts_and_parts_that_are_alike_rank_nothing() -> None:
    two = np.array([1.0, 2.0])
    assert agreement(two, two, two[None]) is None
    flat = np.ones(4)
    assert agreement(flat, np.arange(4.0), np.arange(4.0)[None]) is None
