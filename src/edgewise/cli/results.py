"""How a bundle is shown in the terminal."""

from edgewise import audit
from edgewise.bundle import Bundle
from edgewise.cli.common import console
from edgewise.report import contents, rows, table


def show_bundle(made: Bundle) -> None:
    """The main table of a bundle, what is to be said of it, and where it is."""
    stored = contents.load(made.folder)
    console.print(table.to_rich(rows.rows(stored), f"{made.manifest['model']['name']}"))
    console.print(f"bundle: {made.folder}")
