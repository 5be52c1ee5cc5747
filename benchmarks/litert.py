"""VGG-16 of full width in every form that LiteRT executes, in one interleaved run.

    python -m benchmarks.litert

Weights are random: they change neither time nor size. Every artifact is verified as every export.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from rich.table import Table

from edgewise import store, units
from edgewise.cli.common import console, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.devices.local import LocalDevice
from edgewise.graph.capture import capture
from edgewise.measure import FULL, QUICK, Inputs, Variant, measure
from edgewise.models.builtin import build
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC
from edgewise.progress import Progress
from edgewise.targets.tflite.target import LiteRtTarget

ROOT = Path(__file__).parent.parent
OUT = ROOT / "records" / "bench" / "litert.json"
_CHECKED, _TIMED, _FASTER = 16, 32, 5.0


def artifacts(data: Dataset, folder: Path, progress: Progress) -> Iterator[tuple[Variant, Any]]:
    """Each variant and its verification."""
    torch.manual_seed(0)
    module = build("vgg16", {"width": 1.0, "classes": len(data.classes)})
    network = capture(module.eval(), data.contract, "vgg16")
    calibration = data.split("calibration")
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, data.contract)))
    for recipe in (FLOAT32, FP16, INT8_DYNAMIC, INT8):
        placed = recipe.placed_for(LiteRtTarget.profile)
        made = placed.apply(network, calibration, progress)
        path = folder / f"{recipe.name}.tflite"
        export = made.export(LiteRtTarget(), path, batch)
        facts = {
            "worst_code": export.worst,
            "free_running_code": export.free_running,
            "integer_mac_share": export.integer_share,
            "float_error": export.float_error,
        }
        yield Variant(recipe.name, path, LiteRtTarget.runtime), facts


def promises(result: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """What the artifacts are to hold, and whether they do."""
    by_name = {one["name"]: one for one in result["variants"]}
    speed = by_name["int8"]["speed_up"]["value"]
    yield f"int8 at least {_FASTER:.0f} times as fast as float32 ({speed:.2f})", speed >= _FASTER
    yield "int8 within one code of its twin", by_name["int8"]["worst_code"] <= 1
    error = by_name["float32"]["float_error"]
    yield f"float within 1e-5 of PyTorch ({error:.1e})", error <= 1e-5


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
        made = list(artifacts(dataset, Path(name), progress))
        with LocalDevice() as device:
            series = measure([one for one, _ in made], device, protocol, progress, inputs)
    found = [
        {"name": one.name, "size_bytes": one.size_bytes, "p50_s": asdict(one.statistics.p50_s),
         "speed_up": asdict(series.speed_up(one)), **facts}
        for one, (_, facts) in zip(series.measurements, made, strict=True)
    ]  # fmt: skip
    result = {"variants": found, "cpu": series.baseline.machine["cpu"], "remarks": series.remarks()}
    request = {"data": dataset.name, "protocol": protocol.label}
    store.Record("litert-bench", request, dataset.digests(), result).save(out)
    table = Table("variant", "file", "p50", "over float32", "codes off")
    for one in found:
        speed = one["speed_up"]
        table.add_row(one["name"], units.size(one["size_bytes"]),
                      units.seconds(one["p50_s"]["value"]),
                      f"{speed['value']:.2f}x ({speed['low']:.2f} to {speed['high']:.2f})",
                      str(one["free_running_code"]))  # fmt: skip
    console.print(table)
    for promise, held in promises(result):
        console.print(f"{'PASS' if held else 'FAIL'}  {promise}")


if __name__ == "__main__":
    main()
