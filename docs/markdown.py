"""Figures as Markdown."""

from collections.abc import Iterable, Mapping, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """A table of text; numbers: all but the first column stand to the right."""
    rule = ["---", *["---:" if numbers else "---"] * (len(headings) - 1)]
    lines = [headings, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(figure: Mapping[str, float]) -> str:
    """A ratio with its interval; a dash for what is beside itself."""
    if figure["low"] == figure["high"] == 1:
        return "–"
    return f"{figure['value']:.2f}x ({figure['low']:.2f} to {figure['high']:.2f})"
