"""Networks that nobody here wrote, each compressed by the command that a user would type.

    python -m benchmarks.zoo [NAME ...]

Nine networks with random weights from pytorchcv and transformers go through `edgewise compress`, a
process each. One comes out when its artifact agrees with its integer twin within one code at every
tensor, and every layer meant for integers runs on them; else the command says what it cannot do,
which is kept too. Random weights make these figures of sizes and agreement, never of accuracy.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from edgewise import store, units
from edgewise.cli.common import console, progress_bars

ROOT = Path(__file__).parent.parent
FACTORIES = ROOT / "examples" / "zoo_factories.py"
NETWORKS: Mapping[str, str] = {
    "resnet18": "pytorchcv",
    "mobilenetv2": "pytorchcv",
    "mobilenetv3": "pytorchcv",
    "efficientnet_b0": "pytorchcv",
    "squeezenet": "pytorchcv",
    "densenet121": "pytorchcv",
    "shufflenetv2": "pytorchcv",
    "regnetx002": "pytorchcv",
    "transformers_resnet": "transformers",
}
COMMAND = ("--data", "random", "--input-shape", "3,224,224", "--recipe", "int8", "--target", "onnx")
CAME_OUT = "came out"


@dataclass(frozen=True)
class Found:
    """What became of one network.

    outcome: `came out`, or `refused: why`; worst_code, off_share: largest teacher-forced difference
    from the integer twin at any tensor, and the share of all codes that differ at all;
    free_running: largest difference when the twin is not corrected on the way; layers, integer:
    weighted layers, and how many of them run on integers.
    """

    network: str
    library: str
    version: str
    outcome: str
    wall_s: float
    cpu_s: float
    peak_bytes: int
    worst_code: int | None = None
    off_share: float | None = None
    free_running: int | None = None
    layers: int | None = None
    integer: int | None = None
    integer_mac_share: float | None = None
    checked_images: int | None = None


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "records" / "zoo.json")
def main(names: tuple[str, ...], out: Path) -> None:
    """Compress the networks, print what became of them, and store it as a record."""
    unknown = sorted(set(names) - set(NETWORKS))
    if unknown:
        raise click.ClickException(f"{', '.join(unknown)} is none of {', '.join(NETWORKS)}.")
    found = []
    with tempfile.TemporaryDirectory(prefix="edgewise-zoo-") as folder, progress_bars() as bars:
        chosen = names or tuple(NETWORKS)
        for done, name in enumerate(chosen):
            bars(f"compress {name}", done, len(chosen))
            found.append(compress(name, Path(folder)))
    show(found)
    save(found, out)


def compress(name: str, folder: Path) -> Found:
    """One network through the command, in a process of its own."""
    bundle, log = folder / name, folder / f"{name}.log"
    model = f"{FACTORIES}:{name}"
    command = [sys.executable, "-m", "edgewise.cli.main", "compress", model, *COMMAND]
    watch = [sys.executable, "-S", str(ROOT / "benchmarks" / "stopwatch.py"), str(log)]
    # Others use this machine too: threads that wait do not count as work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "CI": "true"}
    answer = subprocess.run(
        [*watch, *command, "-o", str(bundle)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=environment,
    )
    taken = json.loads(answer.stdout)
    code = taken.pop("exit_code")
    library = NETWORKS[name]
    outcome = CAME_OUT if code == 0 else f"refused: {_last_words(log)}"
    figures = _figures(bundle) if code == 0 else {}
    return Found(name, library, metadata.version(library), outcome, **taken, **figures)


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("edgewise: ") if lines else "without a word"


def _figures(bundle: Path) -> dict[str, Any]:
    export = store.read_record(bundle / "records" / "export-int8.json")["result"]
    elements = sum(check["elements"] for check in export["checks"])
    executions = export["executions"]
    return {
        "worst_code": export["worst"],
        "off_share": sum(check["off"] for check in export["checks"]) / elements,
        "free_running": export["free_running"],
        "layers": len(executions),
        "integer": sum(layer["integer"] for layer in executions),
        "integer_mac_share": export["integer_share"],
        "checked_images": export["images"],
    }


def save(found: Sequence[Found], path: Path) -> None:
    """The record of the run."""
    result = {
        "networks": [asdict(one) for one in found],
        "came_out": sum(one.outcome == CAME_OUT for one in found),
    }
    request = {"command": ["compress", *COMMAND], "networks": [one.network for one in found]}
    inputs = {"factories": store.digest_file(FACTORIES)}
    store.Record("zoo", request, inputs, result).save(path)
    console.print(f"record in {path}")


def show(found: Sequence[Found]) -> None:
    """One line a network."""
    title = "Networks that nobody here wrote, int8 for ONNX Runtime"
    table = Table(title=title, box=None, pad_edge=False)
    table.add_column("network", no_wrap=True)
    table.add_column("outcome")
    for heading in ("worst", "off", "free", "int8", "time", "peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        figures = ("",) * 4
        if one.outcome == CAME_OUT:
            figures = (
                f"{one.worst_code}",
                f"{one.off_share:.0e}" if one.off_share else "0",
                f"{one.free_running}",
                f"{one.integer}/{one.layers}",
            )
        table.add_row(
            one.network,
            escape(one.outcome),
            *figures,
            units.seconds(one.wall_s),
            units.size(one.peak_bytes),
        )
    console.print(table)
    console.print(
        "worst: largest difference from the integer twin in codes, teacher-forced; off: share of "
        "codes that differ at all; free: the same difference left to run through the network; "
        "int8: layers that run on integers."
    )


if __name__ == "__main__":
    main()
