"""Options that say which images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import click

from edgewise.cli.common import notes, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset, Split

_SHOWN = 10  # messages of a split


@dataclass(frozen=True)
class Source:
    """The images of a command line: their name, the folder of fetched data, and whether broken
    ones are passed over.
    """

    name: str
    root: Path | None
    skip_broken: bool = False

    def load(self, shape: tuple[int, int, int] | None, seed: int = 0) -> Dataset:
        """The data set, in that shape where it has none of its own; says which images it left out.

        Raises DataError.
        """
        found = registry.load(self.name, self.root, shape, registry.How(seed, self.skip_broken))
        for split in found.splits:
            _say_left_out(split)
        return found


def _say_left_out(split: Split) -> None:
    if not split.left_out:
        return
    notes.print(f"{split.name}: left out {len(split.left_out)} broken images.", markup=False)
    for why in split.left_out[:_SHOWN]:
        notes.print(f"  {why}", markup=False, highlight=False, soft_wrap=True)


def takes_data(function: Callable[..., None]) -> Callable[..., None]:
    """`--data`, `--root` and `--skip-broken`; the command gets a Source."""

    @wraps(function)
    def resolved(
        *given: object, data: str, root: Path | None, skip_broken: bool, **others: object
    ) -> None:
        function(*given, source=Source(data, root, skip_broken), **others)

    option = click.option(
        "--data",
        required=True,
        metavar="NAME|FOLDER|FILE.npz|random",
        help="Images to use; `edgewise data` tells more.",
    )
    passing = click.option(
        "--skip-broken", is_flag=True, help="Pass over broken annotations [stop at the first]."
    )
    return passing(root_option(option(resolved)))
