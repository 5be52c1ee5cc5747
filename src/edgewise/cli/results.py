"""How a bundle is shown in the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from edgewise.cli.common import console
from edgewise.report import table, words
from edgewise.report.contents import Contents, load
from edgewise.report.rows import Row, rows


def show(contents: Contents, lines: Sequence[Row]) -> None:
    """The headline, the main table, conversions, and what to know before believing it."""
    console.print(Text(words.headline(contents, lines)))
    console.print(table.to_rich(lines, words.title(contents)))
    for row in lines:
        if words.crossings(row):
            console.print(Text(f"{row.variant.name}: {words.boundaries(row)}"))
    for notice in words.notices(contents):
        console.print(Text.assemble((notice.title, "bold"), f": {notice.text}"))


def show_bundle(folder: Path) -> None:
    """The bundle in a folder, and where it is."""
    stored = load(folder)
    show(stored, rows(stored))
    console.print(Text(f"bundle in {folder}"))
