"""`edgewise report`: a bundle's table, and a page of everything in it."""

from pathlib import Path

import click
from rich.text import Text

from edgewise import store
from edgewise.cli.common import console, emit, json_option
from edgewise.cli.results import show
from edgewise.report import page, table, words
from edgewise.report.contents import load
from edgewise.report.rows import rows


@click.command(
    epilog="""
\b
Examples:
  edgewise report out
  edgewise report out --json
\b
The page is DIR/report.html: one file that needs no network and no script, to open in a browser or
to send. Every figure in it names the record that it comes from.
"""
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def command(folder: Path, as_json: bool) -> None:
    """Show the bundle in DIR, and write DIR/report.html."""
    contents = load(folder)
    lines = rows(contents)
    path = folder / page.NAME
    store.write_bytes(path, page.compose(contents, lines).encode())
    if as_json:
        said = [{"title": one.title, "text": one.text} for one in words.notices(contents)]
        emit("report", {"page": str(path), "notices": said, "variants": table.to_json(lines)})
        return
    show(contents, lines)
    console.print(Text(f"report in {path}"))
