"""`edgewise train`: reference training of a built-in network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch

from edgewise import store, units
from edgewise.cli.common import (
    console,
    emit,
    json_option,
    out_option,
    parse_shape,
    progress_bars,
    seed_option,
)
from edgewise.cli.lessons import LESSONS, Lesson
from edgewise.cli.models import parse_options
from edgewise.cli.source import Source, takes_data
from edgewise.data.dataset import Dataset
from edgewise.errors import UsageError
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.weights import save_weights
from edgewise.training.loop import Run, train
from edgewise.training.schedule import Schedule


@click.command(
    epilog="""
\b
Examples:
  edgewise train vgg16 --data fashion-mnist --width 0.25 --epochs 24 -o vgg16.safetensors
  edgewise train vgg16 --data cifar10 --epochs 60 --cutout 8 -o vgg16-cifar10.safetensors
  edgewise train autoencoder --data mnist --epochs 15 -o autoencoder.safetensors
  edgewise train yolov3 --data composed-voc --width 0.25 --model-option repeats=[1,1,2,2,1] \\
      --epochs 15 -o yolov3.safetensors
\b
Stopped or killed? The same command goes on after the last finished epoch and gives the
same weights as a run that was never stopped.
"""
)
@click.argument("model", metavar="MODEL")
@takes_data
@click.option("--width", default=1.0, show_default=True, help="Multiplier of every layer's width.")
@click.option("--batch-norm/--no-batch-norm", default=True, help="Of a classifier, or not.")
@click.option(
    "--model-option", "given", multiple=True, metavar="NAME=VALUE",
    help="Another option of MODEL, as in repeats=[1,1,2,2,1]; repeatable.",
)  # fmt: skip
@click.option("--epochs", default=Schedule().epochs, show_default=True)
@click.option("--batch-size", type=int, help="Images a step [128; 32 for detectors].")
@click.option("--peak-lr", type=float, help="Top of the cycle [0.1 for SGD, 0.003 for Adam].")
@click.option("--cutout", default=Schedule().cutout, show_default=True, help="Side in pixels.")
@click.option("--input-shape", metavar="C,H,W", help="Of a detector's input [the images'].")
@click.option("--threads", default=0, help="CPU threads [all cores].")
@seed_option
@out_option("Weights to write (.safetensors); the record goes beside them.")
@json_option
def command(  # noqa: PLR0913 - one argument an option
    model: str, source: Source, width: float, batch_norm: bool, given: tuple[str, ...],
    epochs: int, batch_size: int | None, peak_lr: float | None, cutout: int,
    input_shape: str | None, threads: int, seed: int, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Train MODEL from scratch, by one cycle of the learning rate and with averaged weights.

    Classifiers learn labels by SGD in bfloat16, the autoencoder to give images back by Adam in
    float32, detectors to find objects by Adam in bfloat16.
    """
    if threads:
        torch.set_num_threads(threads)
    if out.suffix != ".safetensors" or out.is_dir():
        raise UsageError(f"the weights go to a file NAME.safetensors, not to {out}.")
    if model not in BUILT_IN:
        raise UsageError(f"there is no built-in network '{model}'; known: {', '.join(BUILT_IN)}.")
    built = BUILT_IN[model]
    lesson = LESSONS[built.learns]
    shape = parse_shape(input_shape)
    if shape is not None and not lesson.resizes:
        raise UsageError(f"{model} takes inputs of one shape; leave --input-shape out.")
    dataset = source.load(shape if lesson.resizes else built.input_shape, seed)
    options: dict[str, Any] = {"width": width, **lesson.options(built.maps, dataset)}
    if built.learns == "labels":
        options["batch_norm"] = batch_norm
    options |= parse_options(given) or {}
    said = {"epochs": epochs, "batch_size": batch_size, "peak_lr": peak_lr, "cutout": cutout}
    known: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    schedule = replace(lesson.usual, **known)
    wanted = _Wanted(model, lesson, options, dataset, schedule, seed, out)
    result = _trained(wanted)
    if as_json:
        emit("train", result)
    else:
        console.print(_words(wanted, result))


@dataclass(frozen=True)
class _Wanted:
    """What to train, on what, and the file of its weights."""

    model: str
    lesson: Lesson
    options: Mapping[str, Any]
    data: Dataset
    schedule: Schedule
    seed: int
    out: Path

    @property
    def run(self) -> Run:
        """Its training, which goes on where it was stopped."""
        return Run(
            train=self.data.split("train"),
            validation=self.data.split("validation"),
            contract=self.data.contract,
            schedule=self.schedule,
            seed=self.seed,
            checkpoint=self.out.with_name(f".{self.out.name}.checkpoint"),
            objective=self.lesson.objective(self.data, self.options),
            half=self.lesson.half,
        )


def _trained(wanted: _Wanted) -> dict[str, Any]:
    """Train, store the weights and their record, and drop the checkpoint."""
    run, data, out = wanted.run, wanted.data, wanted.out
    torch.manual_seed(wanted.seed)
    module = build(wanted.model, wanted.options)
    with progress_bars() as progress:
        trained, curves = train(module, run, progress)
    origin = {"name": wanted.model, "options": dict(wanted.options)}
    save_weights(trained, out, origin, data.contract)
    test, score = data.split("test"), wanted.lesson.score
    result: dict[str, Any] = {
        "weights": out.name,
        "data": data.name,
        f"validation_{score}": curves.accuracy[-1],
        f"test_{score}": run.goal.score(trained, test, data.contract),
        "test_images": len(test),
        "parameters": sum(parameter.numel() for parameter in trained.parameters()),
        "size_bytes": out.stat().st_size,
        "curves": asdict(curves),
    }
    request = {
        "model": wanted.model, "options": dict(wanted.options), "seed": wanted.seed,
        "schedule": wanted.schedule.to_json(),
    }  # fmt: skip
    inputs = {**data.digests(), "weights": store.digest_file(out)}
    store.Record("training", request, inputs, result).save(out.with_suffix(".json"))
    assert run.checkpoint is not None
    run.checkpoint.unlink(missing_ok=True)
    return result


def _words(wanted: _Wanted, result: Mapping[str, Any]) -> str:
    shown = wanted.lesson.words(result[f"test_{wanted.lesson.score}"])
    return (
        f"{wanted.model} on {wanted.data.name}: {shown} of {result['test_images']} test images, "
        f"{units.count(result['parameters'])} parameters, "
        f"{units.size(result['size_bytes'])} in {wanted.out}"
    )
