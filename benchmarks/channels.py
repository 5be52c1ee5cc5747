"""What removing half of the multiply-accumulates costs and gains, by channels.

    python -m benchmarks.channels

Accuracy: the bundled network, cut by either criterion, trained on for a few epochs with the whole
network as its teacher, and quantized; every figure from an artifact, on all test images. Speed: the
same cut of that network and of the one of full width, whose weights are random, in one interleaved
run.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table

from edgewise import store, units
from edgewise.cli.common import console, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.devices.local import LocalDevice
from edgewise.dispatch import Variant
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.inference import run_artifact
from edgewise.measure import FULL, QUICK, Inputs, measure
from edgewise.models.builtin import build
from edgewise.models.load import load_model
from edgewise.parity import classes_of
from edgewise.presets import FLOAT32, INT8
from edgewise.progress import Progress
from edgewise.recipe import Recipe
from edgewise.steps.finetune import GENTLE, Finetune
from edgewise.steps.material import Material
from edgewise.steps.prune_channels import PruneChannels
from edgewise.steps.step import Step
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Export
from edgewise.tasks.classification import accuracy, paired_difference

ROOT = Path(__file__).parent.parent
OUT = ROOT / "records" / "bench" / "channels.json"
_CHECKED, _TIMED = 32, 32
_CRITERIA = ("shapley", "magnitude")
_LOST, _FASTER = -0.005, 1.6


def recipes(epochs: int) -> Iterator[Recipe]:
    """The whole network, and both cuts, each in float and on integers."""
    schedule = replace(GENTLE, epochs=epochs, peak_lr=0.05, distill=1.0)
    ways: dict[str, tuple[Step, ...]] = {"whole": ()}
    for criterion in _CRITERIA:
        ways[criterion] = (PruneChannels(0.5, criterion=criterion), Finetune(schedule))
    for name, steps in ways.items():
        for end in (FLOAT32, INT8):
            yield Recipe(f"{name}-{end.name}", (*steps, *end.steps))


def scored(data: Dataset, epochs: int, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Accuracy of every recipe's artifact, and its difference from the whole network in float."""
    loaded = load_model("vgg16")
    assert loaded.contract is not None
    network = capture(loaded.module, loaded.contract, "vgg16")
    train, validation, calibration = map(data.split, ("train", "validation", "calibration"))
    teacher = network.copy().module.eval()
    found, correct = [], dict[str, Any]()
    for recipe in recipes(epochs):
        # The same training twice gives the same network; its checkpoint spares the second.
        kept = folder / recipe.name.partition("-")[0]
        kept.mkdir(exist_ok=True)
        material = Material(train, validation, calibration, folder=kept, teacher=teacher)
        made = recipe.apply(network, calibration, progress, material).network
        path = folder / f"{recipe.name}.onnx"
        export = _export(made, data, path)
        correct[recipe.name] = _correct(path, data, network, progress)
        gained = paired_difference(correct[recipe.name], correct["whole-float32"])
        found.append(
            {
                "name": recipe.name,
                "recipe": recipe.to_json(),
                "size_bytes": export.size_bytes,
                "macs": sum(layer.macs for layer in export.executions),
                "accuracy": asdict(accuracy(correct[recipe.name])),
                "difference": asdict(gained),
            }
        )
    return found


def full_width(data: Dataset, folder: Path, progress: Progress) -> Iterator[Variant]:
    """int8 artifacts of VGG-16 of width 1, whole and cut to half of its MACs."""
    torch.manual_seed(0)
    module = build("vgg16", {"width": 1.0, "classes": len(data.classes)})
    network = capture(module.eval(), data.contract, "vgg16")
    for name, steps in (("whole", ()), ("cut", (PruneChannels(0.5, criterion="magnitude"),))):
        made = Recipe(name, (*steps, *INT8.steps)).apply(
            network, data.split("calibration"), progress
        )
        path = folder / f"width-1-{name}.onnx"
        _export(made.network, data, path)
        yield Variant(f"width-1-{name}-int8", path)


def _export(network: Network, data: Dataset, path: Path) -> Export:
    batch = next(data.split("calibration").batches(_CHECKED, network.contract))
    return OnnxTarget().export(network, path, torch.from_numpy(batch))


def _correct(path: Path, data: Dataset, network: Network, progress: Progress) -> Any:
    test = data.split("test")
    with LocalDevice() as device:
        outputs = run_artifact(device, path, test, network.contract, progress)
    assert test.labels is not None
    return np.equal(classes_of(outputs), test.labels)


def timed(
    variants: Sequence[Variant], data: Dataset, protocol: str, progress: Progress
) -> list[dict[str, Any]]:
    """Latency of each, over the first of them."""
    inputs = Inputs(data.split("test").images.read(0, _TIMED), data.contract)
    with LocalDevice() as device:
        chosen = {FULL.label: FULL, QUICK.label: QUICK}[protocol]
        series = measure(list(variants), device, chosen, progress, inputs)
    return [
        {"name": one.name, "size_bytes": one.size_bytes, "p50_s": asdict(one.statistics.p50_s),
         "speed_up": asdict(series.speed_up(one))}
        for one in series.measurements
    ]  # fmt: skip


def promises(result: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """What the cut is to hold, and whether it does."""
    by_name = {one["name"]: one for one in result["variants"]}
    best = max(by_name[f"{name}-float32"]["difference"]["value"] for name in _CRITERIA)
    yield (
        f"half of the MACs cost at most {-100 * _LOST:.1f} points ({100 * best:+.2f})",
        best >= _LOST,
    )
    speed = result["full_width"][1]["speed_up"]["value"]
    yield f"width 1 in int8 runs {_FASTER} times as fast ({speed:.2f})", speed >= _FASTER


@click.command()
@click.option("--data", default="fashion-mnist", show_default=True, metavar="NAME")
@click.option("--epochs", default=5, show_default=True, help="Of fine-tuning.")
@click.option("--quick", is_flag=True, help="Measure shortly.")
@root_option
@click.option("-o", "--out", type=click.Path(path_type=Path), default=OUT)
def main(data: str, epochs: int, quick: bool, root: Path | None, out: Path) -> None:
    """Run everything, print it, and store it as a record."""
    dataset = registry.load(data, root, (3, 32, 32))
    protocol = (QUICK if quick else FULL).label
    with progress_bars() as progress, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = scored(dataset, epochs, folder, progress)
        bundled = [Variant(one["name"], folder / f"{one['name']}.onnx") for one in found]
        times = timed([one for one in bundled if one.name.endswith("int8")], dataset, protocol,
                      progress)  # fmt: skip
        wide = timed(list(full_width(dataset, folder, progress)), dataset, protocol, progress)
    result = {"variants": found, "bundled": times, "full_width": wide}
    inputs = {**dataset.digests(), **load_model("vgg16").inputs}
    request = {"data": dataset.name, "epochs": epochs, "protocol": protocol}
    store.Record("channels-bench", request, inputs, result).save(out)
    _print(result)


def _print(result: Mapping[str, Any]) -> None:
    table = Table("variant", "accuracy", "difference", "MACs", "file")
    for one in result["variants"]:
        table.add_row(one["name"], units.percent(one["accuracy"]["value"]),
                      units.points(one["difference"]["value"]), units.count(one["macs"]),
                      units.size(one["size_bytes"]))  # fmt: skip
    console.print(table)
    times = Table("variant", "p50", "over the whole in int8")
    for one in (*result["bundled"], *result["full_width"]):
        speed = one["speed_up"]
        interval = f"{speed['low']:.2f} to {speed['high']:.2f}"
        p50 = units.seconds(one["p50_s"]["value"])
        times.add_row(one["name"], p50, f"{speed['value']:.2f}x ({interval})")
    console.print(times)
    for promise, held in promises(result):
        console.print(f"{'PASS' if held else 'FAIL'}  {promise}")


if __name__ == "__main__":
    main()
