"""How figures with intervals are written: value and bounds in one unit, to as many digits."""

from edgewise.stats import Interval

_SECONDS = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"))
_DIGITS = 3  # significant, of the value; the bounds follow its decimals


def percent(figure: Interval) -> tuple[str, str]:
    """A share of one as a percentage, and its interval."""
    return f"{100 * figure.value:.2f} %", _bounds(figure, 100, 2)


def share(value: float, decimals: int) -> str:
    """A share of one as a percentage. All and nothing are exact: what lies between never rounds to
    them.
    """
    if value in (0, 1):
        return f"{100 * value:.0f} %"
    least = 10**-decimals
    return f"{min(max(100 * value, least), 100 - least):.{decimals}f} %"


def points(figure: Interval) -> tuple[str, str]:
    """A difference of shares in percentage points, and its interval."""
    low, value, high = (_signed(100 * each, 2) for each in (figure.low, figure.value, figure.high))
    return f"{value} pp", f"{low} to {high}"


def seconds(figure: Interval) -> tuple[str, str]:
    """A duration in the unit that suits the value, and its interval in the same."""
    factor, unit = next(
        (pair for pair in _SECONDS if abs(figure.value) * pair[0] >= 1), _SECONDS[-1]
    )
    decimals = _decimals(figure.value * factor)
    return f"{figure.value * factor:.{decimals}f} {unit}", _bounds(figure, factor, decimals)


def times(figure: Interval) -> tuple[str, str]:
    """A ratio, and its interval."""
    return f"{figure.value:.2f}×", _bounds(figure, 1, 2)


def _bounds(figure: Interval, factor: float, decimals: int) -> str:
    return f"{figure.low * factor:.{decimals}f} to {figure.high * factor:.{decimals}f}"


def _decimals(value: float) -> int:
    whole = len(str(int(abs(value))))
    return max(0, _DIGITS - whole)


def _signed(value: float, decimals: int) -> str:
    """With a true minus; what rounds to zero has no sign."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if not float(text) else text.replace("-", "\u2212")
