"""`edgewise train`: reference training of a built-in network."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import torch

from edgewise import store, units
from edgewise.cli.common import (
    console,
    data_options,
    emit,
    json_option,
    out_option,
    progress_bars,
    seed_option,
)
from edgewise.data import registry
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
@data_options
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
            model: str, data: str, root: Path | None, width: float, batch_norm: bool, epochs: int,
            batch_size: int, peak_lr: float, cutout: int, threads: int, seed: int, out: Path,
            as_json: bool) -> None:  # fmt: skip
    """Train MODEL from scratch: one-cycle SGD, label smoothing, EMA, bfloat16.

    The autoencoder is trained to give images back, by Adam in float32; say --peak-lr 0.003.
    """
    if threads:
        torch.set_num_threads(threads)
    if out.suffix != ".safetensors" or out.is_dir():
        raise UsageError(f"the weights go to a file NAME.safetensors, not to {out}.")
    if model not in BUILT_IN:
        raise UsageError(f"there is no built-in network '{model}'; known: {', '.join(BUILT_IN)}.")
    dataset = registry.load(data, root, BUILT_IN[model].input_shape, seed)
    split, validation = dataset.split("train"), dataset.split("validation")
    labels = BUILT_IN[model].labels
    options: dict[str, Any] = {"width": width}
    if labels:
        options |= {"batch_norm": batch_norm, "classes": len(dataset.classes)}
    torch.manual_seed(seed)
    module = build(model, options)
    schedule = Schedule(epochs, batch_size, peak_lr, cutout=cutout)
    if not labels:  # what is given back is neither moved nor mirrored
        schedule = replace(schedule, optimizer="adam", shift=0, flip=False, weight_decay=0.0)
    run = Run(
        train=split,
        validation=validation,
        contract=dataset.contract,
        schedule=schedule,
        seed=seed,
        checkpoint=out.with_name(f".{out.name}.checkpoint"),
        objective=None if labels else Reconstructed(dataset.contract),
        half=labels,
    )
    with progress_bars() as progress:
        trained, curves = train(module, run, progress)
    save_weights(trained, out, {"name": model, "options": options}, dataset.contract)
    test = dataset.split("test")
    score = "accuracy" if labels else "psnr_db"
    result: dict[str, Any] = {
        "weights": out.name,
        "data": dataset.name,
        f"validation_{score}": curves.accuracy[-1],
        f"test_{score}": run.goal.score(trained, test, dataset.contract),
        "test_images": len(test),
        "parameters": sum(parameter.numel() for parameter in trained.parameters()),
        "size_bytes": out.stat().st_size,
        "curves": asdict(curves),
    }
    request = {"model": model, "options": options, "seed": seed, "schedule": schedule.to_json()}
    inputs = {**dataset.digests(), "weights": store.digest_file(out)}
    store.Record("training", request, inputs, result).save(out.with_suffix(".json"))
    assert run.checkpoint is not None
    run.checkpoint.unlink(missing_ok=True)
    if as_json:
        emit("train", result)
        return
    value = result[f"test_{score}"]
    shown = units.percent(value) if labels else f"{value:.2f} dB signal to noise"
    console.print(
        f"{model} on {dataset.name}: {shown} of {len(test)} test images, "
        f"{units.count(result['parameters'])} parameters, "
        f"{units.size(result['size_bytes'])} in {out}"
    )
