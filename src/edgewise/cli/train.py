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
    progress_bars,
    seed_option,
)
from edgewise.cli.source import Source, takes_data
from edgewise.data.dataset import Dataset
from edgewise.errors import UsageError
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.weights import save_weights
from edgewise.training.loop import Run, train
from edgewise.training.objective import Reconstructed
from edgewise.training.schedule import Schedule

_DEFAULT = Schedule()


@click.command(
    epilog="""
\b
Examples:
  edgewise train vgg16 --data fashion-mnist --width 0.25 --epochs 24 -o vgg16.safetensors
  edgewise train vgg16 --data cifar10 --epochs 60 --cutout 8 -o vgg16-cifar10.safetensors
  edgewise train autoencoder --data mnist --epochs 15 --peak-lr 0.003 -o autoencoder.safetensors
\b
Stopped or killed? The same command goes on after the last finished epoch and gives the
same weights as a run that was never stopped.
"""
)
@click.argument("model", metavar="MODEL")
@takes_data
@click.option("--width", default=1.0, show_default=True, help="Multiplier of every layer's width.")
@click.option("--batch-norm/--no-batch-norm", default=True, help="BatchNorm after convolutions.")
@click.option("--epochs", default=_DEFAULT.epochs, show_default=True)
@click.option("--batch-size", default=_DEFAULT.batch_size, show_default=True)
@click.option("--peak-lr", default=_DEFAULT.peak_lr, show_default=True, help="Top of the cycle.")
@click.option("--cutout", default=_DEFAULT.cutout, show_default=True, help="Side in pixels.")
@click.option("--threads", default=0, help="CPU threads [all cores].")
@seed_option
@out_option("Weights to write (.safetensors); the record goes beside them.")
@json_option
def command(  # noqa: PLR0913 - one argument an option
    model: str, source: Source, width: float, batch_norm: bool, epochs: int, batch_size: int,
    peak_lr: float, cutout: int, threads: int, seed: int, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Train MODEL from scratch: one-cycle SGD, label smoothing, EMA, bfloat16.

    The autoencoder is trained to give images back, by Adam in float32; say --peak-lr 0.003.
    """
    if threads:
        torch.set_num_threads(threads)
    if out.suffix != ".safetensors" or out.is_dir():
        raise UsageError(f"the weights go to a file NAME.safetensors, not to {out}.")
    if model not in BUILT_IN:
        raise UsageError(f"there is no built-in network '{model}'; known: {', '.join(BUILT_IN)}.")
    if BUILT_IN[model].objects:
        taught = ", ".join(name for name, entry in BUILT_IN.items() if not entry.objects)
        raise UsageError(
            f"{model} finds objects, which is not taught here; {taught} can be trained."
        )
    labels = BUILT_IN[model].labels
    dataset = source.load(BUILT_IN[model].input_shape, seed)
    options: dict[str, Any] = {"width": width}
    if labels:
        options |= {"batch_norm": batch_norm, "classes": len(dataset.classes)}
    schedule = Schedule(epochs, batch_size, peak_lr, cutout=cutout)
    if not labels:  # what is given back is neither moved nor mirrored
        schedule = replace(schedule, optimizer="adam", shift=0, flip=False, weight_decay=0.0)
    wanted = _Wanted(model, options, dataset, schedule, seed, out)
    result = _trained(wanted)
    if as_json:
        emit("train", result)
    else:
        console.print(_words(wanted, result))


@dataclass(frozen=True)
class _Wanted:
    """What to train, on what, and the file of its weights."""

    model: str
    options: Mapping[str, Any]
    data: Dataset
    schedule: Schedule
    seed: int
    out: Path

    @property
    def labels(self) -> bool:
        """Whether it learns classes; else it gives images back."""
        return BUILT_IN[self.model].labels

    @property
    def run(self) -> Run:
        """Its training, which goes on where it was stopped."""
        contract = self.data.contract
        return Run(
            train=self.data.split("train"),
            validation=self.data.split("validation"),
            contract=contract,
            schedule=self.schedule,
            seed=self.seed,
            checkpoint=self.out.with_name(f".{self.out.name}.checkpoint"),
            objective=None if self.labels else Reconstructed(contract),
            half=self.labels,
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
    test = data.split("test")
    score = "accuracy" if wanted.labels else "psnr_db"
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
    if wanted.labels:
        shown = units.percent(result["test_accuracy"])
    else:
        shown = f"{result['test_psnr_db']:.2f} dB signal to noise"
    return (
        f"{wanted.model} on {wanted.data.name}: {shown} of {result['test_images']} test images, "
        f"{units.count(result['parameters'])} parameters, "
        f"{units.size(result['size_bytes'])} in {wanted.out}"
    )
