"""One self-contained HTML page: no script, no network, every name escaped."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edgewise import store, units
from edgewise.report import figures, grids, parts, pictures, words
from edgewise.report.cell import MISSING
from edgewise.report.contents import Contents, load
from edgewise.report.parse import printable
from edgewise.report.rows import Row, rows
from edgewise.report.table import NOTES, visible

NAME = "report.html"
_HERE = Path(__file__).parent
_SHORT = 12  # characters of a digest that tell it from others


def render(folder: Path) -> str:
    """The page of the bundle in `folder`; the same bundle gives the same page.

    Raises StorageError when the bundle is not whole or was changed.
    """
    contents = load(folder)
    return compose(contents, rows(contents))


def write(folder: Path) -> Path:
    """Write the page into the bundle; returns its path."""
    path = folder / NAME
    store.write_bytes(path, render(folder).encode())
    return path


def compose(contents: Contents, table: Sequence[Row]) -> str:
    """The page of a bundle that is read already."""
    details = [parts.details_of(contents, row, place) for place, row in enumerate(table)]
    shown = parts.all_grids(contents, table, details)
    style = (_HERE / "style.html").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("page.html")
        .render(
            contents=contents,
            style=Markup(style),  # noqa: S704 - a file of this package
            style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            headline=words.headline(contents, table),
            notices=words.notices(contents),
            tiles=parts.tiles(table),
            chosen=words.chosen(table),
            main=shown["Results"],
            plots=parts.cost_plots(contents, table),
            notes={heading: NOTES[heading] for heading in visible(table) if heading in NOTES},
            merit=words.merit(contents),
            three_ways=shown.get("Three ways"),
            classes=shown.get("Classes"),
            pictures=pictures.pictures(contents, table),
            timings=shown.get("Timing"),
            distribution=parts.distribution_plot(contents, table),
            protocol=parts.protocol(contents),
            details=details,
            uses=grids.uses(shown),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(units=units, share=figures.share, short=_SHORT, missing=MISSING)
    return environment


def _shown(value: object) -> object:
    """Every text that is not our own markup; escaping comes after this."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value
