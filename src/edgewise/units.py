"""How quantities are shown; inside, everything is seconds, bytes and counts."""


def seconds(value: float) -> str:
    """A duration in the unit that keeps three significant digits readable."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(value) * factor >= 0.9995:  # what rounds to 1 is shown as 1
            return f"{_three_digits(value * factor)} {unit}"
    return f"{_three_digits(value * 1e9)} ns" if value else "0 s"


def _three_digits(value: float) -> str:
    """Three significant digits, never an exponent, all digits before the point."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def size(value: float) -> str:
    """A number of bytes in decimal units (1 kB = 1000 bytes)."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= factor:
            return (
                f"{value / factor:.3g} {unit}"
                if value < 100 * factor
                else (f"{value / factor:.0f} {unit}")
            )
    return f"{value:.0f} B"


def count(value: float) -> str:
    """A count with the field's suffixes, as in 313 M parameters."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {unit}"
    return f"{value:g}"


def percent(share: float, digits: int = 2) -> str:
    """A share of one as a percentage."""
    return f"{100 * share:.{digits}f} %"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f"{100 * difference:+.2f} pp"
