"""YOLOv3 of full size: our artifacts beside those of ONNX Runtime's quantizer and of NNCF.

    python -m benchmarks.detector

One interleaved run on one thread, of every artifact in every runtime that is installed. A promise
that does not hold is printed as such; the exit code tells only whether the benchmark itself ran.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from benchmarks import detector_artifacts as artifacts
from benchmarks.beside import WithWeights
from benchmarks.comparison import ratio
from benchmarks.detector_artifacts import FLOAT, FOR_OPENVINO, FORMS, Facts, Form
from benchmarks.detector_promises import Figures
from benchmarks.processes import ROOT, Outcome, missing
from edgewise import store, units
from edgewise.cli.common import console, progress_bars
from edgewise.data.dataset import Dataset
from edgewise.dispatch import Variant
from edgewise.errors import EdgewiseError
from edgewise.measure import Inputs, measure
from edgewise.progress import Progress
from edgewise.series.files import save_series
from edgewise.series.measurement import Measurement
from edgewise.series.series import Series
from edgewise.stats import Interval
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import ANY
from edgewise.worker.job import Protocol

OPENVINO = "openvino"
INT8 = Form("all but outputs").name
INT8_OPENVINO, FLOAT_OPENVINO = f"{INT8}, OpenVINO", f"{FLOAT}, OpenVINO"
_OURS = (form.name for form in (*FORMS, FOR_OPENVINO) if form.part in ("all but outputs", "all"))
_WHOLE = {INT8_OPENVINO, *_OURS}
_SAME = (artifacts.ORT_U8, artifacts.ORT_S8, artifacts.ORT_OWN, artifacts.NNCF)
_PACKAGES = ("torch", "onnx", "onnxruntime", "ai-edge-litert", "openvino", "nncf", "numpy")
_PROTOCOL = Protocol("benchmark", samples=60, seconds=10, cap_s=300,
                     warm_up_count=4, warm_up_s=0.5, warm_up_cap_s=10)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """made: what was found of our artifacts, by name; quantizing: the peers' processes; latency: a
    series whose first artifact is our float one in ONNX Runtime."""

    made: Mapping[str, Facts]
    quantizing: Mapping[str, Outcome]
    latency: Series

    def over(self, theirs: str, ours: str) -> Interval | None:
        """Latency of one artifact over that of another; None where one was not measured."""
        found = [[each.samples for each in one.rounds] for name in (theirs, ours)
                 for one in self.latency.measurements if one.name == name]  # fmt: skip
        if len(found) < 2:
            return None
        least = min(map(len, found))  # the baseline has a round more
        return ratio(found[0][:least], found[1][:least])

    def best(self) -> Measurement:
        """The fastest of our int8 artifacts of the whole network, by its median."""
        ours = [one for one in self.latency.measurements if one.name in _WHOLE]
        return min(ours, key=lambda one: one.statistics.p50_s.value)

    def figures(self) -> Figures:
        int8 = next(one for one in self.latency.measurements if one.name == INT8)
        regions = [form for form in FORMS if form.part in artifacts.REGIONS]
        parts = {form.name: self.over(Form("nothing", form.kind).name, form.name)
                 for form in regions}  # fmt: skip
        return Figures(
            self.latency.speed_up(int8),
            int8.machine["features"],
            _found({name: self.over(name, INT8) for name in _SAME}),
            self.over(artifacts.NNCF_OPENVINO, self.best().name),
            self.best().name,
            _found(parts),
            {
                (form.part, form.kind.runtime): self.made[form.name]
                for form in FORMS
                if form.kernels == ANY
            },
        )


def _found(ratios: Mapping[str, Interval | None]) -> dict[str, Interval]:
    return {name: one for name, one in ratios.items() if one is not None}


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Of each.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1), help="Of PTQ.")
@click.option("--artifacts", "kept", type=click.Path(path_type=Path),
              help="Where artifacts are made, or taken from if they lie there.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "records" / "bench")
def main(rounds: int, threads: int, kept: Path | None, out: Path) -> None:
    """Run everything, print it, and store it as a record."""
    noise = artifacts.data()
    try:
        with _folder(kept) as folder, progress_bars() as bars:
            results = run(noise, folder, (rounds, threads), bars)
    except EdgewiseError as error:
        raise click.ClickException(str(error)) from error
    request = {"rounds": rounds, "threads_of_ptq": threads, "images": artifacts.IMAGES}
    save(results, store.Record("detector-bench", request, noise.digests(), {}), out)
    show(results)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="edgewise-bench-") as name:
        yield Path(name)


def run(noise: Dataset, folder: Path, how: tuple[int, int], progress: Progress) -> Results:
    """how: rounds, and threads of the quantizers."""
    rounds, threads = how
    ours = list(artifacts.make_ours(noise, folder, progress))
    made = {variant.name: facts for variant, facts in ours}
    quantizing = artifacts.make_peers(noise, folder, threads, progress)
    variants = [variant for variant, _ in ours]
    for name, outcome in quantizing.items():
        if outcome.problem is None:
            native = name == artifacts.NNCF_OPENVINO
            runtime = OPENVINO if native else OnnxTarget.runtime
            variants.append(Variant(name, outcome.contender.out, runtime))
    if missing(OPENVINO) is None:
        for name, form in ((FLOAT_OPENVINO, "nothing"), (INT8_OPENVINO, "all but outputs")):
            variants.append(Variant(name, folder / Form(form).file, OPENVINO))
    split = noise.split("calibration")
    inputs = Inputs(split.images.read(0, len(split)), noise.contract)
    with WithWeights() as device:
        series = measure(variants, device, replace(_PROTOCOL, rounds=rounds), progress, inputs)
    measurements = tuple(map(_whole, series.measurements, variants))
    return Results(made, quantizing, replace(series, measurements=measurements))


def _whole(one: Measurement, variant: Variant) -> Measurement:
    """Its size with the weights that lie beside it."""
    beside = variant.artifact.with_suffix(".bin")
    if variant.artifact.suffix != ".xml" or not beside.is_file():
        return one
    return replace(one, size_bytes=one.size_bytes + beside.stat().st_size)


def save(results: Results, record: store.Record, folder: Path) -> None:
    """The record, and the latency series with its raw samples beside it."""
    save_series(results.latency, folder / "detector-latency.json")
    figures = results.figures()
    found = {
        "promises": [{**asdict(one), "verdict": one.word} for one in figures.verdicts()],
        "ours": dict(results.made),
        "quantizing": [one.to_json() for one in results.quantizing.values()],
        "latency": results.latency.to_json(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    replace(record, result=found).save(folder / "detector.json")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def show(results: Results) -> None:
    """A table of artifacts, and the promises."""
    series = results.latency
    machine = series.baseline.machine
    table = Table(title=f"YOLOv3, 416x416, batch 1, 1 thread, {machine['cpu']}")
    for heading in ("artifact", "size", "p50 [95 %]", "over float32 [95 %]", "CPU"):
        table.add_column(heading, justify="left" if heading == "artifact" else "right")
    for one in series.measurements:
        p50, speed = one.statistics.p50_s, series.speed_up(one)
        table.add_row(
            one.name,
            units.size(one.size_bytes),
            f"{units.seconds(p50.value)} \\[{units.seconds(p50.low)}, {units.seconds(p50.high)}]",
            "baseline" if one is series.baseline
            else f"{speed.value:.2f}x \\[{speed.low:.2f}, {speed.high:.2f}]",
            units.percent(one.cpu_share, 0),
        )  # fmt: skip
    for name, outcome in results.quantizing.items():
        if outcome.problem:
            table.add_row(name, escape(outcome.problem))
    console.print(table)
    for remark in series.remarks():
        console.print(f"[bold]Note[/bold] {remark}")
    for verdict in results.figures().verdicts():
        console.print(f"{verdict.word}  {verdict.promise}: {verdict.figures}", markup=False)


if __name__ == "__main__":
    main()
