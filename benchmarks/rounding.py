"""What post-training quantization gains by more than rounding to nearest, on the bundled network.

    python -m benchmarks.rounding

Every variant is an artifact, verified as every export is, and scored on all test images in its
runtime; differences are paired over images.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table
from torch import nn

from edgewise import store, units
from edgewise.cli.common import console, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.devices.url import connect
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.inference import run_artifact
from edgewise.models.load import Loaded, load_model
from edgewise.parity import classes_of
from edgewise.progress import Progress
from edgewise.quant.scheme import INT8, Scheme
from edgewise.recipe import Recipe
from edgewise.steps.adaround import AdaRound
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.equalize import Equalize
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.tasks.classification import accuracy, paired_difference

ROOT = Path(__file__).parent.parent
OUT = ROOT / "records" / "bench" / "rounding.json"
_CHECKED, _SEEDS = 32, (0, 1, 2)
_UNEQUAL = 100.0  # channels are scaled by up to so much, or down by as much


@dataclass(frozen=True)
class Case:
    """A recipe, and the variant that it is to be compared with; unequal: on the scaled network."""

    recipe: Recipe
    against: str | None = None
    unequal: bool = False


def cases() -> Iterator[Case]:
    """What is compared: each after what it is compared with."""
    yield Case(Recipe("float32", (Fold(),)))
    before = (Fold(), Calibrate())
    yield Case(Recipe("int8", (*before, Quantize(INT8))), "float32")
    for scheme in (Scheme(4, 8), Scheme(2, 8)):
        nearest = Recipe(f"{scheme.name}-nearest", (*before, Quantize(scheme)))
        yield Case(nearest, "float32")
        for seed in _SEEDS:
            steps = (*before, Quantize(scheme), AdaRound(seed=seed))
            yield Case(Recipe(f"{scheme.name}-adaround-{seed}", steps), nearest.name)
    yield Case(Recipe("unequal-int8", (*before, Quantize(INT8))), "int8", unequal=True)
    equal = (Fold(), Equalize(), Calibrate(), Quantize(INT8))
    yield Case(Recipe("unequal-int8-equalized", equal), "int8", unequal=True)


@torch.no_grad()
def scaled(loaded: Loaded) -> nn.Module:
    """The same function with unequal channels: BatchNorm's output times c, the next weights over c.

    c is drawn from 1 / _UNEQUAL to _UNEQUAL, evenly on a logarithmic scale.
    """
    draw = torch.Generator().manual_seed(0)
    layers = [m for m in loaded.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    norms = [m for m in loaded.module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm, after in zip(norms, layers[1:], strict=True):
        factors = _UNEQUAL ** (2 * torch.rand(norm.num_features, generator=draw) - 1)
        norm.weight.mul_(factors)
        norm.bias.mul_(factors)
        shape = (1, -1, 1, 1) if after.weight.ndim == 4 else (1, -1)
        after.weight.div_(factors.view(shape))
    return loaded.module


def run(data: Dataset, progress: Progress) -> list[dict[str, Any]]:
    """Every case, scored."""
    contract = load_model("vgg16").contract
    assert contract is not None
    networks = {
        False: capture(load_model("vgg16").module, contract, "vgg16"),
        True: capture(scaled(load_model("vgg16")), contract, "vgg16"),
    }
    correct: dict[str, Any] = {}
    found = []
    for case in cases():
        name = case.recipe.name
        correct[name] = _correct(networks[case.unequal], case.recipe, data, progress)
        entry: dict[str, Any] = {"name": name, "accuracy": asdict(accuracy(correct[name]))}
        if case.against is not None:
            gained = paired_difference(correct[name], correct[case.against])
            entry |= {"against": case.against, "difference": asdict(gained)}
        found.append({**entry, "recipe": case.recipe.to_json(), "unequal": case.unequal})
    return found


def _correct(network: Network, recipe: Recipe, data: Dataset, progress: Progress) -> Any:
    calibration, test = data.split("calibration"), data.split("test")
    made = recipe.apply(network, calibration, progress)
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, network.contract)))
    with tempfile.TemporaryDirectory() as folder, connect("local") as device:
        path = Path(folder) / "model.onnx"
        made.export(OnnxTarget(), path, batch)
        outputs = run_artifact(device, path, test, network.contract, progress)
    assert test.labels is not None
    return np.equal(classes_of(outputs), test.labels)


@click.command()
@click.option("--data", default="fashion-mnist", show_default=True, metavar="NAME")
@root_option
@click.option("-o", "--out", type=click.Path(path_type=Path), default=OUT)
def main(data: str, root: Path | None, out: Path) -> None:
    """Run everything, print it, and store it as a record."""
    dataset = registry.load(data, root, (3, 32, 32))
    with progress_bars() as progress:
        found = run(dataset, progress)
    inputs = {**dataset.digests(), **load_model("vgg16").inputs}
    request = {"data": dataset.name, "images": len(dataset.split("test"))}
    store.Record("rounding", request, inputs, {"variants": found}).save(out)
    table = Table("variant", "accuracy", "difference, low, high", "from")
    for one in found:
        gained = one.get("difference")
        shown = "" if gained is None else " ".join(map(units.points, gained.values()))
        table.add_row(one["name"], units.percent(one["accuracy"]["value"]), shown,
                      one.get("against", ""))  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
