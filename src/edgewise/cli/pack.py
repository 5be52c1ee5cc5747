"""`edgewise pack`: an artifact whose zeros take no room, and what every way to store it takes."""

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from edgewise import store, units
from edgewise.cli.common import console, emit, json_option
from edgewise.errors import UsageError
from edgewise.targets.packing import Storage, pack, storage
from edgewise.targets.table import target_of
from edgewise.worker.packed import SUFFIX

_WAYS = {
    "dense": "as it is",
    "deflated": "deflated as a whole",
    "bitmap": "zeros by a bit each",
    "delta": "zeros by the gaps between the others",
    "packed": "packed: each tensor in the smallest way",
    "bound": "entropy of the weights alone: no code is below",
}


@click.command(
    epilog="""
\b
Examples:
  edgewise pack out/pruned/model.tflite
  edgewise pack out/pruned/model.onnx -o small.onnx.packed
  edgewise measure out/pruned/model.tflite.packed
\b
A packed artifact is evaluated and measured as any other; it is unpacked to the very bytes of the
artifact when it is loaded, so it saves storage and transfer, neither time nor memory.
"""
)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="File to write [ARTIFACT.packed]."
)
@json_option
def command(artifact: Path, out: Path | None, as_json: bool) -> None:
    """Write ARTIFACT packed, and say what it takes."""
    if artifact.suffix == SUFFIX:
        raise UsageError(f"{artifact} is packed already.")
    kind = target_of(artifact)
    kind.inspect(artifact)  # refuses what is no artifact
    content = artifact.read_bytes()
    stretches = kind.stretches(content)
    path = out or artifact.with_name(artifact.name + SUFFIX)
    store.write_bytes(path, pack(content, stretches))
    found = storage(content, stretches)
    if as_json:
        emit("pack", {"artifact": str(path), **asdict(found)})
        return
    console.print(_table(path, found))


def _table(path: Path, found: Storage) -> Table:
    table = Table(title=f"{path}: {units.percent(found.zeros, 1)} of the weights are zero")
    table.add_column("stored")
    table.add_column("bytes", justify="right")
    table.add_column("of dense", justify="right")
    for name, words in _WAYS.items():
        size = getattr(found, name)
        table.add_row(words, units.size(size), units.percent(size / max(found.dense, 1), 1))
    return table
