from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.graph.histogram import Histogram
from edgewise.quant.affine import affine_parameters, dequantize, quantize
from edgewise.quant.observers import METHODS, entropy, min_max, mse, percentile
from edgewise.quant.scheme import IntType


def drawn(draw: Callable[[np.random.Generator], object]) -> Tensor:
    return torch.from_numpy(np.asarray(draw(np.random.default_rng(0)), np.float32))


SAMPLES: Mapping[str, Tensor] = {
    "normal": drawn(lambda d: d.normal(0.3, 1, 20_000)),
    "one-sided": drawn(lambda d: np.maximum(d.normal(0, 1, 20_000), 0)),
    "heavy": drawn(lambda d: d.standard_t(3, 20_000)),
    "uniform": drawn(lambda d: d.uniform(-1, 1, 20_000)),
    "negative": drawn(lambda d: -d.exponential(1, 20_000)),
    "far-from-zero": drawn(lambda d: d.normal(100, 1, 20_000)),
    "spike": drawn(lambda d: np.r_[np.zeros(19_000), d.uniform(0, 1, 1000)]),
    "constant": torch.full((50,), 0.7),
    "zero": torch.zeros(50),
    "two": torch.tensor([-1.0, 1.0]),
}
VALUES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30)


def rms(values: Tensor, bounds: tuple[float, float], bits: int) -> float:
    """Root mean square error of the quantizer that a range makes."""
    kind = IntType(bits, signed=False)
    scale, zero = affine_parameters(*bounds, kind)
    rounded = dequantize(quantize(values, scale, zero, kind), scale, zero)
    return float((rounded.double() - values.double()).square().mean().sqrt())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_range_lies_within_what_was_seen_and_zero(method: str, name: str) -> None:
    seen = Histogram.of(SAMPLES[name])
    low, high = METHODS[method](seen, 8)
    assert low <= high
    assert min(seen.low, 0) <= low
    assert high <= max(seen.high, 0)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20)
@given(values=VALUES, bits=st.sampled_from([2, 4, 8]))
def test_any_values_give_a_range_within_them_and_zero(
    method: str, values: list[float], bits: int
) -> None:
    seen = Histogram.of(torch.tensor(values, dtype=torch.float32))
    low, high = METHODS[method](seen, bits)
    assert min(seen.low, 0) <= low <= high <= max(seen.high, 0)


@given(values=VALUES)
def test_min_max_is_everything_seen_to_the_last_bit(values: list[float]) -> None:
    assert min_max(Histogram.of(torch.tensor(values)), 8) == (min(values), max(values))


@pytest.mark.parametrize("name", ["normal", "one-sided", "heavy", "negative", "far-from-zero"])
def test_percentiles_are_numpys_to_a_bin(name: str) -> None:
    values = SAMPLES[name]
    seen = Histogram.of(values)
    low, high = percentile(seen, 8)
    both = seen.low < 0 < seen.high
    outside = 0.0001 / (2 if both else 1)
    quantiles = np.quantile(values.numpy(), [outside, 1 - outside], method="inverted_cdf")
    width = 2.0**seen.exponent
    assert low == seen.low if seen.low >= 0 else abs(low - quantiles[0]) <= width
    assert high == seen.high if seen.high <= 0 else abs(high - quantiles[1]) <= width


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", SAMPLES)
def test_least_error_is_never_worse_than_everything_seen(name: str, bits: int) -> None:
    values = SAMPLES[name]
    seen = Histogram.of(values)
    resolution = 2.0**seen.exponent  # both errors are known to half a bin
    assert rms(values, mse(seen, bits), bits) <= rms(values, min_max(seen, bits), bits) + resolution


@settings(max_examples=20)
@given(values=VALUES, bits=st.sampled_from([2, 4, 8]))
def test_least_error_is_never_worse_for_any_values(values: list[float], bits: int) -> None:
    given_values = torch.tensor(values, dtype=torch.float32)
    seen = Histogram.of(given_values)
    best = rms(given_values, mse(seen, bits), bits)
    assert best <= rms(given_values, min_max(seen, bits), bits) + 2.0**seen.exponent


def test_heavy_tails_are_clipped_and_the_error_falls_by_it() -> None:
    seen = Histogram.of(SAMPLES["heavy"])
    low, high = mse(seen, 4)
    assert seen.low < low < 0 < high < seen.high
    assert rms(SAMPLES["heavy"], (low, high), 4) < 0.6 * rms(SAMPLES["heavy"], min_max(seen, 4), 4)


def test_what_has_no_tails_is_not_clipped_at_eight_bits() -> None:
    uniform = Histogram.of(SAMPLES["uniform"])
    for method in (mse, entropy):
        low, high = method(uniform, 8)
        assert low == pytest.approx(uniform.low, rel=0.01)
        assert high == pytest.approx(uniform.high, rel=0.01)


def test_entropy_clips_a_lonely_outlier_and_keeps_the_mass() -> None:
    values = torch.cat([SAMPLES["normal"], torch.tensor([30.0])])
    low, high = entropy(Histogram.of(values), 4)
    assert high < 20
    assert float(((values >= low) & (values <= high)).float().mean()) > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_a_range_does_not_depend_on_batching(method: str) -> None:
    values = SAMPLES["heavy"]
    whole = Histogram.of(values)
    first, *others = (Histogram.of(part) for part in torch.chunk(values, 9))
    for other in others:
        first = first.merge(other)
    assert METHODS[method](first, 8) == METHODS[method](whole, 8)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15)
@given(values=VALUES, exponent=st.integers(-8, 8))
def test_a_range_scales_with_the_values(method: str, values: list[float], exponent: int) -> None:
    small = torch.tensor(values, dtype=torch.float32)
    assume(float(small.abs().max()) > 1e-3)
    scale = 2.0**exponent
    low, high = METHODS[method](Histogram.of(small), 8)
    scaled = METHODS[method](Histogram.of(small * scale), 8)
    assert scaled == pytest.approx((low * scale, high * scale), rel=1e-9)


def mass_error(method: str, outlier: float, bits: int) -> float:
    """Error on the ordinary values, where one in 20,001 is not, in standard deviations."""
    values = torch.cat([SAMPLES["normal"], torch.tensor([outlier])])
    return rms(SAMPLES["normal"], METHODS[method](Histogram.of(values), bits), bits)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("method", "share"), [("percentile", 0.5), ("entropy", 0.8)])
def test_an_outlier_costs_the_others_less_where_it_is_clipped(
    method: str, share: float, bits: int
) -> None:
    assert mass_error(method, 100.0, bits) < share * mass_error("min-max", 100.0, bits)


def test_percentiles_ignore_one_outlier_whatever_its_size() -> None:
    ranges = [
        percentile(Histogram.of(torch.cat([SAMPLES["normal"], torch.tensor([size])])), 8)
        for size in (30.0, 300.0)
    ]
    width = 300 / 1024  # of the coarser histogram's bins
    assert ranges[0] == pytest.approx(ranges[1], abs=2 * width)
    assert ranges[1][1] < 6


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_only_everything_seen_keeps_the_largest_value_to_half_a_step(method: str) -> None:
    """Where the largest values are the answer, nothing but min-max will do."""
    values = torch.cat([SAMPLES["heavy"], torch.tensor([200.0])])
    seen, kind = Histogram.of(values), IntType(4, signed=False)

    def worst(bounds: tuple[float, float]) -> tuple[float, float]:
        scale, zero = affine_parameters(*bounds, kind)
        rounded = dequantize(quantize(values, scale, zero, kind), scale, zero)
        return float((rounded - values).abs().max()), float(scale)

    error, step = worst(min_max(seen, 4))
    assert error <= step  # half for rounding, half for the zero point's
    assert worst(METHODS[method](seen, 4))[0] > 2 * error


@pytest.mark.parametrize("bits", [2, 4])
def test_at_few_bits_least_error_beats_every_other_method_on_a_bell(bits: int) -> None:
    errors = {
        name: rms(SAMPLES["normal"], method(Histogram.of(SAMPLES["normal"]), bits), bits)
        for name, method in METHODS.items()
    }
    assert errors["mse"] <= 1.001 * min(errors.values())
    assert errors["mse"] < 0.9 * errors["min-max"]
