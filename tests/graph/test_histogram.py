import math
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from edgewise.errors import DataError
from edgewise.graph.histogram import BINS, Histogram

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NARROW = st.floats(-4, 4, width=32)
VALUES = st.one_of(st.lists(FLOATS, min_size=1, max_size=40), st.lists(NARROW, min_size=1))
TINY = 2.0**-149  # the smallest positive float32


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def same(one: Histogram, other: Histogram) -> bool:
    return (
        (one.low, one.high, one.exponent, one.first)
        == (other.low, other.high, other.exponent, other.first)
        and one.counts.dtype == other.counts.dtype == torch.int64
        and torch.equal(one.counts, other.counts)
    )


def merged(parts: list[list[float]]) -> Histogram:
    first, *others = (Histogram.of(tensor(part)) for part in parts)
    for other in others:
        first = first.merge(other)
    return first


@given(values=VALUES)
@example(values=[-TINY, 1e4])
@example(values=[-TINY, 2.0**127, -(2.0**127)])
@example(values=[0.0, -0.0])
def test_every_value_is_counted_in_the_bin_that_holds_it(values: list[float]) -> None:
    made = Histogram.of(tensor(values))
    width = Fraction(2) ** made.exponent
    expected = Counter(math.floor(Fraction(value) / width) for value in values)
    found = {
        made.first + index: int(count) for index, count in enumerate(made.counts.tolist()) if count
    }
    assert found == dict(expected)
    assert (made.low, made.high) == (min(values), max(values))
    assert len(made.counts) <= BINS


@given(values=VALUES, data=st.data())
@example(values=[-TINY, 1e4], data=None)
def test_neither_order_nor_batching_changes_anything(
    values: list[float], data: st.DataObject | None
) -> None:
    whole = Histogram.of(tensor(values))
    shuffled = values[::-1] if data is None else data.draw(st.permutations(values))
    cuts = [1] if data is None else data.draw(st.lists(st.integers(0, len(values)), max_size=6))
    edges = [0, *sorted(cuts), len(values)]
    parts = [shuffled[a:b] for a, b in zip(edges, edges[1:], strict=False) if a < b]
    assert same(merged(parts), whole)


@given(one=VALUES, two=VALUES, three=VALUES)
def test_merging_is_commutative_and_associative(
    one: list[float], two: list[float], three: list[float]
) -> None:
    a, b, c = (Histogram.of(tensor(part)) for part in (one, two, three))
    assert same(a.merge(b), b.merge(a))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert int(a.merge(b).merge(c).counts.sum()) == len(one) + len(two) + len(three)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, TINY, -TINY, 3.4e38, -3.4e38, 1 / 3])
def test_a_single_or_constant_value_has_one_bin_that_holds_it(value: float) -> None:
    for count in (1, 1000):
        made = Histogram.of(tensor([value] * count))
        assert made.counts.tolist() == [count]
        assert abs(float(made.centres[0]) - made.low) <= 2.0 ** (made.exponent - 1)
        assert made.low == made.high == float(tensor([value])[0])


@pytest.mark.parametrize("exponent", [-20, -3, 0, 3, 20])
def test_a_value_on_an_edge_belongs_to_the_bin_that_begins_there(exponent: int) -> None:
    edges = (torch.arange(-BINS // 2, BINS // 2) * 2.0**exponent).float()
    made = Histogram.of(edges)
    assert made.exponent == exponent
    assert made.first == -BINS // 2
    assert made.counts.tolist() == [1] * BINS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="not finite"):
        Histogram.of(tensor([1.0, value, 2.0]))


def test_memory_does_not_grow_with_the_number_of_values() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = Histogram.of(torch.randn(100, generator=generator))
    for _ in range(20):
        seen = seen.merge(Histogram.of(torch.randn(5000, generator=generator)))
        assert len(seen.counts) <= BINS
    assert int(seen.counts.sum()) == 100_100


def test_a_far_outlier_keeps_every_count() -> None:
    near = Histogram.of(torch.arange(-500, 501) / 500)
    far = near.merge(Histogram.of(tensor([1e30])))
    assert int(far.counts.sum()) == 1002
    assert int(far.counts[0]) == 500
    assert int(far.counts[1]) == 501
    assert len(far.counts) <= BINS


def test_shape_and_memory_layout_do_not_matter() -> None:
    values = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    assert same(Histogram.of(values), Histogram.of(values.permute(3, 1, 0, 2)))
    assert same(Histogram.of(values), Histogram.of(values.clone().requires_grad_()))


def test_resolution_is_better_than_a_thousandth_of_the_range() -> None:
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(2))
    made = Histogram.of(values)
    assert 2.0**made.exponent <= (made.high - made.low) / 1000
    assert made.centres.min() >= made.low - 2.0**made.exponent
    assert made.centres.max() <= made.high + 2.0**made.exponent
