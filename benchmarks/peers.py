"""edgewise beside ONNX Runtime's quantizer and NNCF: speed of int8 artifacts, cost of making them.

    python -m benchmarks.peers

One network for all: VGG-16 at full width with random weights, so speed and cost only, never
accuracy. Every figure comes from processes that ran in turn on this machine. A promise that does
not hold is printed as such; the exit code tells only whether the benchmark itself ran.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from benchmarks import promises, workload
from benchmarks.comparison import ratio
from benchmarks.processes import ROOT, Contender, Outcome, run_in_turn
from benchmarks.promises import Cost, Verdict
from benchmarks.workload import Workload
from edgewise import store, units
from edgewise.cli.common import console, progress_bars, root_option
from edgewise.data.dataset import Dataset
from edgewise.devices.url import connect
from edgewise.dispatch import Variant
from edgewise.errors import EdgewiseError
from edgewise.measure import Inputs, measure
from edgewise.progress import Progress
from edgewise.series.files import save_series
from edgewise.series.measurement import Measurement
from edgewise.series.series import Series
from edgewise.stats import Interval
from edgewise.worker.job import Protocol

FLOAT, OURS, VERIFIED = "edgewise float32", "edgewise int8", "edgewise int8, verified"
NNCF, NNCF_PLAIN = "NNCF", "NNCF without bias correction"
ORT_U8, ORT_S8 = "ONNX Runtime u8s8", "ONNX Runtime s8s8"
IMAGES, FEW, MANY = 256, 200, 2000
_PACKAGES = ("torch", "onnx", "onnxruntime", "nncf", "numpy")
_TIMED_IMAGES = 32
_PROTOCOL = Protocol("benchmark", samples=2000, seconds=5, cap_s=60,
                     warm_up_count=20, warm_up_s=0.5, warm_up_cap_s=5)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """Everything that was found.

    quantizing: PTQ processes at IMAGES images; growing: ours at FEW and at MANY; latency: a series
    whose first artifact is our float one; ratios: peer's int8 artifact -> its latency over ours.
    """

    quantizing: Sequence[Outcome]
    growing: Sequence[Outcome]
    latency: Series
    ratios: Mapping[str, Interval]

    def verdicts(self) -> list[Verdict]:
        costs = _costs(self.quantizing)
        minmax = [costs[one] for one in (ORT_U8, ORT_S8) if one in costs]
        ours = self.latency.measurements[1]
        speed_up = self.latency.speed_up(ours)
        few, many = (_cost(one) for one in self.growing)
        return [
            promises.faster_than_peers(dict(self.ratios)),
            promises.faster_than_float(speed_up, ours.machine["features"]),
            *promises.less_than(costs[OURS], costs.get(NNCF), NNCF),
            *promises.less_than(costs[OURS], costs.get(NNCF_PLAIN), NNCF_PLAIN),
            promises.near_minmax(costs[OURS], minmax),
            promises.small_enough([costs[OURS], costs[VERIFIED]]),
            promises.memory_stays(few, many),
        ]


@click.command()
@click.option("--data", default="fashion-mnist", show_default=True, metavar="NAME|FOLDER|FILE.npz")
@root_option
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(3), help="Of each.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1), help="Of PTQ.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "records" / "bench")
def main(data: str, root: Path | None, rounds: int, threads: int, out: Path) -> None:
    """Run everything, print it, and store it as a record."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-bench-") as name, progress_bars() as bars:
            dataset = workload.load(data, root)
            given = workload.prepare(dataset, MANY, Path(name))
            results = run(dataset, given, Path(name), (rounds, threads), bars)
    except EdgewiseError as error:
        raise click.ClickException(str(error)) from error
    verdicts = results.verdicts()
    request = {"data": dataset.name, "rounds": rounds, "threads_of_ptq": threads}
    save(results, verdicts, given, request, out)
    show(results, verdicts)


def run(
    dataset: Dataset, given: Workload, folder: Path, how: tuple[int, int], progress: Progress
) -> Results:
    """how: rounds, and threads of the quantizers."""
    rounds, threads = how
    quantizing = run_in_turn(contenders(given, folder), rounds, threads, progress)
    growing = run_in_turn(
        [_ours(f"edgewise int8, {count} images", given, folder, count) for count in (FEW, MANY)],
        3,
        threads,
        progress,
    )
    broken = [one for one in (*quantizing[:2], *growing) if one.problem]
    if broken:
        raise EdgewiseError(f"{broken[0].contender.name} {broken[0].problem}")
    artifacts = {
        one.contender.name: one.contender.out
        for one in quantizing
        if one.problem is None and one.contender.name not in (VERIFIED, NNCF_PLAIN)
    }
    variants = [Variant(FLOAT, given.float_model)]
    variants += [Variant(name, path) for name, path in artifacts.items()]
    split = dataset.splits[-1]
    inputs = Inputs(split.images.read(0, min(_TIMED_IMAGES, len(split))), dataset.contract)
    with connect("local") as device:
        series = measure(variants, device, _PROTOCOL, progress, inputs)
    ours, *peers = series.measurements[1:]
    ratios = {peer.name: ratio(_samples(peer), _samples(ours)) for peer in peers}
    return Results(quantizing, growing, series, ratios)


def contenders(given: Workload, folder: Path) -> list[Contender]:
    """Ours first, as it is and verified; then its peers."""
    images = (str(given.pixels), str(given.contract), str(IMAGES))

    def peer(name: str, program: str, file: str, *options: str, needs: str) -> Contender:
        out = folder / file
        arguments = (str(given.float_model), *images, str(out), *options)
        return Contender(name, program, arguments, out, needs)

    return [
        _ours(OURS, given, folder, IMAGES),
        _ours(VERIFIED, given, folder, IMAGES, "verify"),
        peer(ORT_U8, "ptq_onnxruntime", "ort-u8s8.onnx", "u8", needs="onnxruntime"),
        peer(ORT_S8, "ptq_onnxruntime", "ort-s8s8.onnx", "s8", needs="onnxruntime"),
        peer(NNCF, "ptq_nncf", "nncf.onnx", needs="nncf"),
        peer(NNCF_PLAIN, "ptq_nncf", "nncf-plain.onnx", "plain", needs="nncf"),
    ]


def _ours(name: str, given: Workload, folder: Path, images: int, *options: str) -> Contender:
    out = folder / f"edgewise-{images}{''.join(options)}.onnx"
    arguments = (str(given.weights), str(given.pixels), str(images), str(out))
    return Contender(name, "ptq_edgewise", (*arguments, *options), out)


def _samples(one: Measurement) -> list[Any]:
    return [each.samples for each in one.rounds]


def _cost(one: Outcome) -> Cost:
    return Cost(one.contender.name, one.wall_s, one.peak_bytes)


def _costs(outcomes: Sequence[Outcome]) -> dict[str, Cost]:
    return {one.contender.name: _cost(one) for one in outcomes if one.problem is None}


def save(
    results: Results,
    verdicts: Sequence[Verdict],
    given: Workload,
    request: Mapping[str, Any],
    folder: Path,
) -> None:
    """The record, and the latency series with its raw samples beside it."""
    save_series(results.latency, folder / "vgg16-peers-latency.json")
    found = {
        "promises": [{**asdict(one), "verdict": one.word} for one in verdicts],
        "quantizing": [one.to_json() for one in results.quantizing],
        "growing": [one.to_json() for one in results.growing],
        "latency_over_ours": {name: asdict(one) for name, one in results.ratios.items()},
        "latency": results.latency.to_json(),
        "peers": {name: _version(name) for name in _PACKAGES},
    }
    store.Record("benchmark", request, given.inputs, found).save(folder / "vgg16-peers.json")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def show(results: Results, verdicts: Sequence[Verdict]) -> None:
    """Three tables: latency, cost, promises."""
    console.print(_latency_table(results))
    for remark in results.latency.remarks():
        console.print(f"[bold]Note[/bold] {remark}")
    console.print(_cost_table([*results.quantizing, *results.growing]))
    table = Table("promise", "", "figures", title="Promises")
    colours = {True: "green", False: "red", None: "yellow"}
    for one in verdicts:
        table.add_row(one.promise, f"[{colours[one.holds]}]{one.word}", one.figures)
    console.print(table)


def _latency_table(results: Results) -> Table:
    series = results.latency
    machine = series.baseline.machine
    table = Table(title=f"VGG-16 at full width, batch 1, 1 thread, {machine['cpu']}")
    for heading in ("artifact", "size", "p50 [95 %]", "over float32 [95 %]", "ours over it [95 %]"):
        table.add_column(heading, justify="left" if heading == "artifact" else "right")
    for one in series.measurements:
        p50 = one.statistics.p50_s
        table.add_row(
            one.name,
            units.size(one.size_bytes),
            f"{units.seconds(p50.value)} [{units.seconds(p50.low)}, {units.seconds(p50.high)}]",
            "baseline" if one is series.baseline else _times(series.speed_up(one)),
            _times(results.ratios[one.name]) if one.name in results.ratios else "",
        )
    return table


def _cost_table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title=f"Post-training quantization, whole process, {IMAGES} images, medians")
    for heading in ("", "time", "of it verification", "CPU time", "peak memory", "runs"):
        table.add_column(heading, justify="right" if heading else "left")
    for one in outcomes:
        if one.problem:
            table.add_row(one.contender.name, escape(one.problem))
            continue
        checks = sorted(run.verify_s for run in one.runs if run.verify_s is not None)
        table.add_row(
            one.contender.name,
            units.seconds(one.wall_s),
            units.seconds(checks[len(checks) // 2]) if checks else "",
            units.seconds(one.cpu_s),
            units.size(one.peak_bytes),
            str(len(one.runs)),
        )
    return table


def _times(figure: Interval) -> str:
    return f"{figure.value:.2f}x [{figure.low:.2f}, {figure.high:.2f}]"


if __name__ == "__main__":
    main()
