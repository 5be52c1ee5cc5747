"""VGG-16 of full width in every form that LiteRT executes, in one interleaved run.

    python -m benchmarks.litert

Weights are random: they change neither time nor size. Every artifact is verified as every export.
Where the oracle is installed, its float and static int8 artifacts of the same network, calibrated
on the same images, run beside ours.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table
from torch import nn

from benchmarks import oracle, promises
from benchmarks.comparison import ratio
from benchmarks.promises import Verdict
from edgewise import store, units
from edgewise.cli.common import console, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.devices.local import LocalDevice
from edgewise.dispatch import Variant
from edgewise.graph.capture import capture
from edgewise.measure import FULL, QUICK, Inputs, measure
from edgewise.models.builtin import build
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC
from edgewise.progress import Progress
from edgewise.series.series import Series
from edgewise.stats import Interval
from edgewise.steps.calibrate import Calibrate
from edgewise.targets.tflite.session import runner
from edgewise.targets.tflite.target import LiteRtTarget

ROOT = Path(__file__).parent.parent
OUT = ROOT / "records" / "bench" / "litert.json"
ORACLE_FLOAT, ORACLE_INT8 = "oracle float32", "oracle int8"
_CHECKED, _TIMED, _FASTER = 16, 32, 5.0

Made = tuple[Variant, Mapping[str, Any]]  # and what was found when it was made


def network(data: Dataset) -> nn.Module:
    """In evaluation mode."""
    torch.manual_seed(0)
    return build("vgg16", {"width": 1.0, "classes": len(data.classes)}).eval()


def artifacts(module: nn.Module, data: Dataset, folder: Path, progress: Progress) -> Iterator[Made]:
    """Each of our variants and its verification."""
    captured = capture(module, data.contract, "vgg16")
    calibration = data.split("calibration")
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, data.contract)))
    for recipe in (FLOAT32, FP16, INT8_DYNAMIC, INT8):
        placed = recipe.placed_for(LiteRtTarget.profile)
        made = placed.apply(captured, calibration, progress)
        path = folder / f"{recipe.name}.tflite"
        export = made.export(LiteRtTarget(), path, batch)
        facts = {
            "worst_code": export.worst,
            "free_running_code": export.free_running,
            "integer_mac_share": export.integer_share,
            "float_error": export.float_error,
        }
        yield Variant(recipe.name, path, LiteRtTarget.runtime), facts


@torch.no_grad()
def oracle_artifacts(module: nn.Module, data: Dataset, folder: Path) -> Sequence[Made] | str:
    """Those of the oracle, or why there are none."""
    problem = oracle.absent()
    if problem is not None:
        return problem
    folder.mkdir()
    split = data.split("calibration").head(Calibrate().images)
    images = np.concatenate(list(split.batches(_CHECKED, data.contract)))
    oracle.give(module, images, folder)
    problem = oracle.ask([folder])
    if problem is not None:
        return problem
    truth = module(torch.from_numpy(images[:_CHECKED])).numpy()
    made = []
    for name, file in ((ORACLE_FLOAT, oracle.FLOAT), (ORACLE_INT8, oracle.INT8)):
        run = runner((folder / file).read_bytes())
        found = np.concatenate([run(images[one : one + 1])[0] for one in range(_CHECKED)])
        error = float(abs(found - truth).max() / abs(truth).max())
        made.append((Variant(name, folder / file, LiteRtTarget.runtime), {"float_error": error}))
    return made


def over_ours(series: Series) -> Mapping[str, Interval]:
    """The oracle's int8 artifact, where it was measured -> its latency over ours."""
    rounds = {
        one.name: [each.samples for each in one.rounds]
        for one in series.measurements
        if one.name in (ORACLE_INT8, INT8.name)
    }
    if ORACLE_INT8 not in rounds:
        return {}
    return {ORACLE_INT8: ratio(rounds[ORACLE_INT8], rounds[INT8.name])}


def verdicts(result: Mapping[str, Any]) -> Iterator[Verdict]:
    """What the artifacts are to hold, and whether they do."""
    by_name = {one["name"]: one for one in result["variants"]}
    speed = Interval(**by_name["int8"]["speed_up"])
    promise = f"int8 latency: at least {_FASTER:.0f}x float32"
    yield Verdict(promise, speed.value >= _FASTER, _times(asdict(speed)))
    over = result["oracle"]["over_ours"]
    yield promises.faster_than_peers({name: Interval(**one) for name, one in over.items()})
    worst = by_name["int8"]["worst_code"]
    yield Verdict("int8: within one code of its twin", worst <= 1, f"{worst}")
    error = by_name["float32"]["float_error"]
    yield Verdict("float32: within 1e-5 of PyTorch", error <= 1e-5, f"{error:.1e}")


@click.command()
@click.option("--data", default="fashion-mnist", show_default=True, metavar="NAME")
@click.option("--quick", is_flag=True, help="Measure shortly.")
@root_option
@click.option("-o", "--out", type=click.Path(path_type=Path), default=OUT)
def main(data: str, quick: bool, root: Path | None, out: Path) -> None:
    """Run everything, print it, and store it as a record."""
    dataset, protocol = registry.load(data, root, (3, 32, 32)), QUICK if quick else FULL
    inputs = Inputs(dataset.split("test").images.read(0, _TIMED), dataset.contract)
    with progress_bars() as progress, tempfile.TemporaryDirectory() as name:
        module = network(dataset)
        made = list(artifacts(module, dataset, Path(name), progress))
        theirs = oracle_artifacts(module, dataset, Path(name) / "oracle")
        asked: dict[str, Any] = {"problem": theirs}
        if not isinstance(theirs, str):
            made += theirs
            asked = {"problem": None, "packages": oracle.packages(Path(name) / "oracle")}
        with LocalDevice() as device:
            series = measure([one for one, _ in made], device, protocol, progress, inputs)
    found = [
        {"name": one.name, "size_bytes": one.size_bytes, "p50_s": asdict(one.statistics.p50_s),
         "speed_up": asdict(series.speed_up(one)), **facts}
        for one, (_, facts) in zip(series.measurements, made, strict=True)
    ]  # fmt: skip
    asked["over_ours"] = {name: asdict(one) for name, one in over_ours(series).items()}
    result = {"variants": found, "cpu": series.baseline.machine["cpu"],
              "remarks": series.remarks(), "oracle": asked}  # fmt: skip
    request = {"data": dataset.name, "protocol": protocol.label}
    store.Record("litert-bench", request, dataset.digests(), result).save(out)
    show(result)


def show(result: Mapping[str, Any]) -> None:
    """A table, and the promises."""
    table = Table("variant", "file", "p50", "over float32", "codes off")
    for one in result["variants"]:
        table.add_row(
            one["name"],
            units.size(one["size_bytes"]),
            units.seconds(one["p50_s"]["value"]),
            _times(one["speed_up"]),
            str(one.get("free_running_code", "")),
        )
    if result["oracle"]["problem"]:
        table.add_row("oracle", result["oracle"]["problem"])
    console.print(table)
    for remark in result["remarks"]:
        console.print(f"[bold]Note[/bold] {remark}")
    for one in verdicts(result):
        console.print(f"{one.word}  {one.promise}: {one.figures}", markup=False)


def _times(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.2f}x ({figure['low']:.2f} to {figure['high']:.2f})"


if __name__ == "__main__":
    main()
