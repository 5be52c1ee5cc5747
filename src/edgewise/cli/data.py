"""`edgewise data`: which data sets there are, and fetching them."""

from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from edgewise import units
from edgewise.cli.common import console, emit, json_option, progress_bars, root_option
from edgewise.data import acquire, fetch, registry


@click.group(
    epilog="""
\b
Examples:
  edgewise data list
  edgewise data fetch fashion-mnist
  edgewise data fetch cifar10 --root /mnt/data
\b
Your own images need no fetching. Wherever a command takes --data, these do as well:
  FOLDER      FOLDER/CLASS/*.png, FOLDER/{train,calibration,validation,test}/CLASS/*.png,
              or FOLDER/*.png without labels; png, jpg, bmp and webp
  DEVKIT      a folder with VOC2007, VOC2012 or VOCdevkit, and classes.txt if not VOC's classes
  FILE.npz    arrays `images` (uint8, or float32 already preprocessed) and, if any, `labels`
  random      noise, for sizes and latency alone
"""
)
def command() -> None:
    """List and fetch data sets."""


@command.command(
    "list",
    epilog="""
\b
Examples:
  edgewise data list
  edgewise data list --json
""",
)
@root_option
@json_option
def list_sets(root: Path | None, as_json: bool) -> None:
    """The data sets by name, and which of them are here."""
    rows = [_row(name, registry.data_root(root)) for name in registry.KNOWN]
    if as_json:
        emit("data list", rows)
        return
    table = Table()
    for heading in ("name", "what", "images", "here"):
        table.add_column(heading, no_wrap=heading in ("name", "images"), overflow="fold")
    for row in rows:
        what = f"{row['summary']}; licence: {row['licence']}"
        if row["stand_in_for"]:
            what += f"; stands in for {row['stand_in_for']} where that cannot be had"
        images = "\n".join(f"{count:>6,} {split}" for split, count in row["images"].items())
        here = row["folder"] if row["fetched"] else f"no: edgewise data fetch {row['name']}"
        table.add_row(row["name"], what, images, escape(here), end_section=True)
    console.print(table)


def _row(name: str, root: Path) -> dict[str, Any]:
    known = registry.KNOWN[name]
    return {
        "name": name,
        "summary": known.summary,
        "images": dict(known.images),
        "licence": known.licence,
        "stand_in_for": known.stand_in_for,
        "fetched": acquire.is_here(fetch.wanted(name), root),
        "folder": str(root / name),
    }


@command.command(
    "fetch",
    epilog="""
\b
Examples:
  edgewise data fetch mnist
  edgewise data fetch fashion-mnist --root /mnt/data --json
\b
Sources are tried in turn and every file is checked against its published hash. Stopped or
killed? The same command goes on. Fetched already? It checks the hashes and returns.
""",
)
@click.argument("name", metavar="NAME")
@root_option
@json_option
def fetch_set(name: str, root: Path | None, as_json: bool) -> None:
    """Fetch the data set NAME, as `edgewise data list` names it."""
    with progress_bars() as progress:
        folder = fetch.fetch(name, root, progress)
    wanted = fetch.wanted(name)
    recorded = acquire.record(wanted, folder.parent)
    size = sum(file.size_bytes for file in wanted.all_files)
    if as_json:
        result = {
            "name": name,
            "folder": str(folder),
            "source": recorded.get("source"),
            "tried": recorded.get("tried", []),
            "size_bytes": size,
            "files": [file.name for file in wanted.all_files],
        }
        emit("data fetch", result)
        return
    source = f", from {recorded['source']}" if "source" in recorded else ""
    text = f"{name}: {len(wanted.all_files)} files, {units.size(size)} in {folder}{source}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
