import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"), (1, "1 s"), (12.34, "12.3 s"), (0.5, "500 ms"), (0.00123, "1.23 ms"),
        (4.5e-6, "4.5 µs"), (7e-9, "7 ns"), (-0.002, "-2 ms"),
        (0.9996, "1 s"), (0.99949, "999 ms"), (999.7e-6, "1 ms"), (1234, "1234 s"),
    ],
)  # fmt: skip
def test_durations(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (3_708_200, "3.71 MB"), (123_456, "123 kB"),
        (2_500_000_000, "2.5 GB"), (999_999, "1000 kB"),
    ],
)  # fmt: skip
def test_sizes_are_decimal(value: float, text: str) -> None:
    assert units.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (923_130, "923.1 k"), (313_200_000, "313.2 M"),
     (15_500_000_000, "15.5 G")],
)  # fmt: skip
def test_counts(value: float, text: str) -> None:
    assert units.count(value) == text


def test_shares_and_their_differences() -> None:
    assert units.percent(0.9364) == "93.64 %"
    assert units.percent(1, 0) == "100 %"
    assert units.points(-0.0012) == "-0.12 pp"
    assert units.points(0.0) == "+0.00 pp"


_FACTORS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


@given(value=st.floats(1e-9, 1e5))
def test_a_duration_reads_back_to_half_a_percent_and_has_no_exponent(value: float) -> None:
    text = units.seconds(value)
    number, unit = text.split()
    assert "e" not in number
    assert float(number) * _FACTORS[unit] == pytest.approx(value, rel=0.0051)


@given(value=st.integers(1, 10**12 - 1))
def test_a_size_reads_back_to_half_a_percent_and_has_no_exponent(value: int) -> None:
    number, unit = units.size(value).split()
    assert "e" not in number
    assert float(number) * _FACTORS[unit] == pytest.approx(value, rel=0.0051)
