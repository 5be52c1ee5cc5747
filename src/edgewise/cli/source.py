"""Options that say which images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import click

from edgewise.cli.common import root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset


@dataclass(frozen=True)
class Source:
    """The images of a command line: their name, and the folder of fetched data."""

    name: str
    root: Path | None

    def load(self, shape: tuple[int, int, int] | None, seed: int = 0) -> Dataset:
        """The data set, in that shape where it has none of its own; raises DataError."""
        return registry.load(self.name, self.root, shape, seed)


def takes_data(function: Callable[..., None]) -> Callable[..., None]:
    """`--data` and `--root`; the command gets a Source."""

    @wraps(function)
    def resolved(*given: object, data: str, root: Path | None, **others: object) -> None:
        function(*given, source=Source(data, root), **others)

    option = click.option(
        "--data", required=True, metavar="NAME|FOLDER|FILE.npz|random", help="Images to use."
    )
    return root_option(option(resolved))
