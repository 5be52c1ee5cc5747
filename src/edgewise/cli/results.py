"""How a bundle is shown in the terminal."""

from edgewise.bundle import Bundle
from edgewise.cli.common import console


def show_bundle(made: Bundle) -> None:
    """The main table of a bundle, and where the bundle is."""
    console.print(f"bundle in {made.folder}")
