"""`edgewise measure`: latency, memory and CPU share of artifacts on a device."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from edgewise import units
from edgewise.cli.common import (
    console,
    emit,
    json_option,
    parse_shape,
    progress_bars,
    root_option,
    seed_option,
)
from edgewise.cli.runtimes import runtime_for, runtime_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.devices.url import connect
from edgewise.dispatch import Variant
from edgewise.errors import UsageError
from edgewise.measure import FULL, QUICK, Inputs, measure
from edgewise.series.files import save_series
from edgewise.series.measurement import Measurement
from edgewise.series.series import Series
from edgewise.stats import Interval

_IMAGES = 32  # in turn; enough to show time that depends on the data


@click.command(
    epilog="""
\b
Examples:
  edgewise measure float.onnx int8.onnx --quick
  edgewise measure float.onnx int8.onnx --data fashion-mnist -o measured.json
  edgewise measure float.onnx int8.onnx --runtime openvino
\b
The first artifact is the baseline: name the float one first. It is measured before, between
and after the others, and says so when the machine was not steady.
"""
)
@click.argument(
    "artifacts", metavar="ARTIFACT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--device", default="local", show_default=True, metavar="URL", help="Where to run.")
@runtime_option
@click.option("--quick", is_flag=True, help="Seconds instead of a minute an artifact.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--rounds", type=click.IntRange(1), help="Fresh processes an artifact [5].")
@click.option("--data", metavar="NAME|FOLDER|FILE.npz", help="Time real images [seeded noise].")
@click.option("--input-shape", metavar="C,H,W", help="What the artifact takes [as the data are].")
@root_option
@seed_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Record; samples beside it.")
@json_option
def command(  # noqa: PLR0913 - one argument an option
            artifacts: tuple[Path, ...], device: str, runtime: str | None, quick: bool,
            threads: int, rounds: int | None, data: str | None, input_shape: str | None,
            root: Path | None, seed: int, out: Path | None, as_json: bool) -> None:  # fmt: skip
    """Measure each ARTIFACT in fresh processes, interleaved with the first."""
    if out is not None and out.is_dir():
        raise UsageError(f"-o is a file to write and {out} is a folder.")
    preset = QUICK if quick else FULL
    protocol = replace(preset, rounds=rounds or preset.rounds, threads=threads, seed=seed)
    shape = parse_shape(input_shape)
    with connect(device) as target, progress_bars() as progress:
        inputs = (
            _inputs(registry.load(data, root, shape, registry.How(seed, progress=progress)))
            if data
            else None
        )
        series = measure(_variants(artifacts, runtime), target, protocol, progress, inputs)
    if out is not None:
        save_series(series, out)
    if as_json:
        emit("measure", series.to_json())
        return
    show(series)


def show(series: Series) -> None:
    """Two tables, so that each fits a terminal of 80 columns, and what to know about them."""
    first, protocol = series.baseline, series.protocol
    threads = f"{protocol.threads} thread{'s' * (protocol.threads > 1)}"
    console.print(
        f"[bold]{series.mode} measurement[/bold] on {series.device} ({series.condition}): "
        f"{first.machine['cpu']}, {threads}, {first.runtime} {first.machine['runtime_version']}, "
        f"{protocol.rounds} rounds of fresh processes"
    )
    latency = _table("p50 [95 %]", "p90", "p95", "p99", "speed-up [95 %]")
    cost = _table("size", "own memory", "load", "first run", "CPU")
    for one in series.measurements:
        speed = "baseline" if one is first else _times(series.speed_up(one))
        latency.add_row(one.name, *_latencies(one), speed)
        cost.add_row(one.name, *_costs(one))
    console.print(latency, cost)
    console.print("Own memory is the peak less what the runtime takes without a model.")
    for remark in series.remarks():
        console.print(f"[bold]Note[/bold] {remark}")


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("artifact", overflow="fold")
    for heading in headings:
        table.add_column(heading.replace(" [", "\n\\["), justify="right")
    return table


def _latencies(one: Measurement) -> tuple[str, ...]:
    figures = one.statistics
    middle = figures.p50_s
    return (
        f"{units.seconds(middle.value)}\n"
        f"\\[{units.seconds(middle.low)}, {units.seconds(middle.high)}]",
        units.seconds(figures.p90_s.value),
        units.seconds(figures.p95_s.value),
        "-" if figures.p99_s is None else units.seconds(figures.p99_s.value),
    )


def _costs(one: Measurement) -> tuple[str, ...]:
    memory = one.memory.own_bytes
    return (
        units.size(one.size_bytes),
        "not measured" if memory is None else units.size(memory),
        units.seconds(one.load_s),
        units.seconds(one.first_s),
        units.percent(one.cpu_share, 0),
    )


def _times(speed: Interval) -> str:
    return f"{speed.value:.2f}x\n\\[{speed.low:.2f}, {speed.high:.2f}]"


def _variants(artifacts: tuple[Path, ...], runtime: str | None) -> list[Variant]:
    """Named by the file, or by the whole path where files of two folders have one name."""
    stems = Counter(path.stem for path in artifacts)
    names = [path.stem if stems[path.stem] == 1 else str(path) for path in artifacts]
    return list(map(Variant, names, artifacts, (runtime_for(path, runtime) for path in artifacts)))


def _inputs(dataset: Dataset) -> Inputs:
    split = dataset.splits[-1]  # test images, where a set has them
    return Inputs(split.images.read(0, min(_IMAGES, len(split))), dataset.contract)
