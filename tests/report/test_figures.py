import math

from hypothesis import given
from hypothesis import strategies as st

from edgewise.report import figures
from edgewise.stats import Interval

_SHARES = st.floats(0, 1)


def ordered(low: float, value: float, high: float) -> Interval:
    low, value, high = sorted((low, value, high))
    return Interval(value, low, high)


def numbers(texts: tuple[str, str]) -> tuple[float, float, float]:
    """Low, value and high as a reader reads them."""
    value = texts[0].split(" ")[0].rstrip("×")
    low, high = texts[1].split(" to ")
    return tuple(float(each.replace("\u2212", "-")) for each in (low, value, high))  # type: ignore[return-value]


@given(_SHARES, _SHARES, _SHARES)
def test_shares_and_their_bounds_are_what_is_stored(low: float, value: float, high: float) -> None:
    figure = ordered(low, value, high)
    read = numbers(figures.percent(figure))
    for shown, stored in zip(read, (figure.low, figure.value, figure.high), strict=True):
        assert math.isclose(shown, 100 * stored, abs_tol=0.00501)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_differences_carry_their_sign(low: float, value: float, high: float) -> None:
    figure = ordered(low, value, high)
    texts = figures.points(figure)
    read = numbers(texts)
    for shown, stored in zip(read, (figure.low, figure.value, figure.high), strict=True):
        assert math.isclose(shown, 100 * stored, abs_tol=0.00501)
    assert "-" not in "".join(texts)
    assert "\u22120.00" not in "".join(texts)
    assert "+0.00" not in "".join(texts)


@given(st.floats(1e-6, 1e3), st.floats(1, 3))
def test_a_time_and_its_bounds_are_in_one_unit(value: float, factor: float) -> None:
    texts = figures.seconds(Interval(value, value / factor, value * factor))
    low, shown, high = numbers(texts)
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[texts[0].split(" ")[1]]
    assert math.isclose(shown, value * scale, rel_tol=0.006)
    assert low <= shown <= high
    assert math.isclose(high, value * factor * scale, rel_tol=0.006)
    assert shown >= 1 or scale == 1e6


@given(_SHARES, st.integers(0, 3))
def test_only_all_and_nothing_are_shown_as_such(value: float, decimals: int) -> None:
    shown = figures.share(value, decimals)
    assert (float(shown.split(" ")[0]) == 0) == (value == 0)
    assert (float(shown.split(" ")[0]) == 100) == (value == 1)


def test_examples() -> None:
    assert figures.percent(Interval(0.936, 0.9312, 0.9407)) == ("93.60 %", "93.12 to 94.07")
    assert figures.points(Interval(-0.0004, -0.0012, 0.0004)) == (
        "\u22120.04 pp",
        "\u22120.12 to +0.04",
    )
    assert figures.seconds(Interval(0.0012, 0.00119, 0.00123)) == ("1.20 ms", "1.19 to 1.23")
    assert figures.seconds(Interval(0.000154, 0.00015, 0.000158)) == ("154 µs", "150 to 158")
    assert figures.times(Interval(2.394, 2.32, 2.45)) == ("2.39×", "2.32 to 2.45")
    assert figures.share(0.99999, 2) == "99.99 %"
