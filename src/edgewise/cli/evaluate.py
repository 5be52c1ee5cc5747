"""`edgewise evaluate`: score an artifact in its runtime."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from edgewise import spotting, store, units
from edgewise.cli.common import console, emit, json_option, progress_bars
from edgewise.cli.runtimes import runtime_for, runtime_option
from edgewise.cli.source import Source, takes_data
from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.device import Device
from edgewise.devices.url import connect
from edgewise.dispatch import Variant
from edgewise.errors import UsageError
from edgewise.inference import run_artifact, run_detector
from edgewise.parity import classes_of
from edgewise.progress import Progress
from edgewise.spotting import Judged
from edgewise.targets.table import contract_of, decoder_of
from edgewise.tasks.classification import accuracy
from edgewise.tasks.detection.suppression import Suppression

_NAMES = {"ap50": "mAP@0.5", "ap75": "AP75", "coco": "COCO AP"}


@click.command(
    epilog="""
\b
Examples:
  edgewise evaluate out/int8/model.onnx --data fashion-mnist
  edgewise evaluate out/int8/model.onnx --data photos/ --device local --json
  edgewise evaluate out/int8/model.onnx --data composed-voc
  edgewise evaluate out/int8/model.onnx --data photos/ --runtime openvino
\b
Images are prepared by the contract that is stored in the artifact, and the outputs of a detector
become objects as it says there.
"""
)
@click.argument("artifact", type=click.Path(path_type=Path))
@takes_data
@click.option("--split", default="test", show_default=True)
@click.option("--device", default="local", show_default=True)
@runtime_option
@json_option
def command(  # noqa: PLR0913 - one argument an option
    artifact: Path, source: Source, split: str, device: str, runtime: str | None, as_json: bool
) -> None:
    """Accuracy of ARTIFACT on a labelled split, or average precision of a detector on one with
    objects, run on a device.
    """
    contract = contract_of(artifact)
    runtime = runtime_for(artifact, runtime)
    data = source.load(contract.shape).fitted(contract.fit)
    chosen = data.split(split)
    judge = _accuracy if decoder_of(artifact) is None else _precision
    with connect(device) as machine, progress_bars() as progress:
        found = judge(_Asked(artifact, contract, data, chosen, runtime), machine, progress)
    result = {
        "artifact": store.digest_file(artifact),
        "data": source.name,
        "split": split,
        "split_digest": chosen.digest,
        "images": len(chosen),
        "left_out": len(chosen.left_out),
        "device": device,
        "runtime": runtime,
        **found,
    }
    if as_json:
        emit("evaluate", result)
        return
    of = f"{len(chosen)} images of {source.name}/{split}"
    if "accuracy" in found:
        value, interval = _interval(found["accuracy"])
        console.print(Text(f"{artifact}: {value} of {of} (95 % interval {interval}) on {device}"))
    else:
        console.print(_table(found, f"{artifact} on {of}, {device}"))


@dataclass(frozen=True)
class _Asked:
    """An artifact, how images become its input, the images, and what runs it."""

    artifact: Path
    contract: Preprocessing
    data: Dataset
    split: Split
    runtime: str


def _accuracy(asked: _Asked, device: Device, progress: Progress) -> dict[str, Any]:
    split = asked.split
    if split.labels is None:
        boxes = "" if split.objects is None else (
            " It has objects, but the artifact does not say how its outputs become any; compress a "
            "network that declares edgewise_decoder."
        )  # fmt: skip
        raise UsageError(f"{asked.data.name} has no labels; accuracy needs them.{boxes}")
    outputs = run_artifact(device, asked.artifact, split, asked.contract, progress, asked.runtime)
    return {"accuracy": asdict(accuracy(classes_of(outputs) == split.labels))}


def _precision(asked: _Asked, device: Device, progress: Progress) -> dict[str, Any]:
    decoder, split = decoder_of(asked.artifact), asked.split
    assert decoder is not None
    objects = spotting.to_be_found(asked.data, split, asked.contract, decoder)
    if objects is None:
        raise UsageError(
            f"split '{split.name}' of {asked.data.name} has no objects, and the artifact finds "
            "them; use data with boxes, as voc and composed-voc are."
        )
    variant = Variant(asked.artifact.name, asked.artifact, asked.runtime)
    reading = decoder, Suppression()
    found = run_detector(device, variant, split, asked.contract, progress, reading)
    judged = Judged.of(found, objects, decoder.classes)
    classes = zip(asked.data.classes, judged.by_class(), strict=True)
    return {
        "precision": spotting.to_json(judged.estimates()),
        "suppression": reading[1].to_json(),
        "classes": [{"name": name, **figures} for name, figures in classes],
    }


def _table(found: dict[str, Any], title: str) -> Table:
    table = Table(title=Text(title))
    for heading, justify in (("", "left"), ("", "right"), ("95 % interval", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for name, shown in _NAMES.items():
        table.add_row(shown, *_interval(found["precision"][name]))
    table.add_section()
    table.add_row("class", "AP at 0.5", "recall", style="dim")
    for one in found["classes"]:
        figures = (one["ap50"], one["recall"])
        shares = ("–" if share is None else units.percent(share) for share in figures)
        table.add_row(Text(one["name"]), *shares)
    return table


def _interval(estimate: dict[str, float]) -> tuple[str, str]:
    value, low, high = (units.percent(estimate[name]) for name in ("value", "low", "high"))
    return value, f"{low} to {high}"
