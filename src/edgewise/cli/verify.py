"""`edgewise verify`: does a bundle still hold?"""

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from edgewise.bundle import Bundle, read_bundle
from edgewise.cli.common import console, emit, json_option, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.url import connect
from edgewise.errors import DataError, VerificationError
from edgewise.verify import Check, Rerun, verify

_MARKS = {True: Text("holds", "green"), False: Text("FAILS", "bold red"), None: Text("not checked")}


@click.command(
    epilog="""
\b
Examples:
  edgewise verify out
  edgewise verify out --device local --data photos/
\b
Checks every hash, every record, that accuracies follow from the stored predictions and
latencies from the raw samples; then runs the artifacts again on the same images, if these are
here. The exit code is 0 only when nothing fails.
"""
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--data", help="Where the images are [the data set named in the bundle].")
@click.option("--device", default="local", show_default=True)
@root_option
@json_option
def command(folder: Path, data: str | None, device: str, root: Path | None, as_json: bool) -> None:
    """Check the hashes, parity and figures of the bundle in DIR again."""
    made = read_bundle(folder)
    with connect(device) as machine, progress_bars() as progress:
        checks = verify(made, Rerun(machine, _data(made, data, root)), progress)
    failed = [check.name for check in checks if check.ok is False]
    if as_json:
        emit("verify", {"holds": not failed, "checks": [asdict(check) for check in checks]})
        raise click.exceptions.Exit(VerificationError.exit_code if failed else 0)
    console.print(_table(folder, checks))
    if failed:
        raise VerificationError(f"{folder} does not hold: {', '.join(failed)}.")


def _data(made: Bundle, data: str | None, root: Path | None) -> Dataset | None:
    """The images that the bundle was scored on, or None where they are not to be had."""
    try:
        contract = Preprocessing.from_json(made.manifest["contract"])
        name, seed = made.manifest["data"]["name"], int(made.manifest.get("seed", 0))
        found = registry.load(data or str(name), root, contract.shape, registry.How(seed))
        return found.fitted(contract.fit)
    except (DataError, KeyError, TypeError, ValueError):
        if data is not None:
            raise
        return None


def _table(folder: Path, checks: tuple[Check, ...]) -> Table:
    table = Table(title=f"bundle {folder}")
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("what was seen")
    for check in checks:
        table.add_row(check.name, _MARKS[check.ok], check.detail)
    return table
