"""`edgewise evaluate`: score an artifact in its runtime."""

from dataclasses import asdict
from pathlib import Path

import click

from edgewise import store, units
from edgewise.cli.common import console, emit, json_option, progress_bars
from edgewise.cli.runtimes import runtime_for, runtime_option
from edgewise.cli.source import Source, takes_data
from edgewise.devices.url import connect
from edgewise.errors import UsageError
from edgewise.inference import run_artifact
from edgewise.parity import classes_of
from edgewise.targets.table import contract_of
from edgewise.tasks.classification import accuracy


@click.command(
    epilog="""
\b
Examples:
  edgewise evaluate out/int8/model.onnx --data fashion-mnist
  edgewise evaluate out/int8/model.onnx --data photos/ --device local --json
  edgewise evaluate out/int8/model.onnx --data photos/ --runtime openvino
\b
Images are prepared by the contract that is stored in the artifact.
"""
)
@click.argument("artifact", type=click.Path(path_type=Path))
@takes_data
@click.option("--split", default="test", show_default=True)
@click.option("--device", default="local", show_default=True)
@runtime_option
@json_option
def command(  # noqa: PLR0913 - one argument an option
            artifact: Path, source: Source, split: str, device: str, runtime: str | None,
            as_json: bool) -> None:  # fmt: skip
    """Accuracy of ARTIFACT on a labelled split, run on a device."""
    contract = contract_of(artifact)
    runtime = runtime_for(artifact, runtime)
    chosen = source.load(contract.shape).split(split)
    if chosen.labels is None:
        raise UsageError(f"{source.name} has no labels; accuracy needs them.")
    with connect(device) as machine, progress_bars() as progress:
        outputs = run_artifact(machine, artifact, chosen, contract, progress, runtime)
    estimate = accuracy(classes_of(outputs) == chosen.labels)
    result = {
        "artifact": store.digest_file(artifact),
        "data": source.name,
        "split": split,
        "split_digest": chosen.digest,
        "images": len(chosen),
        "device": device,
        "runtime": runtime,
        "accuracy": asdict(estimate),
    }
    if as_json:
        emit("evaluate", result)
        return
    low, high = units.percent(estimate.low), units.percent(estimate.high)
    console.print(
        f"{artifact}: {units.percent(estimate.value)} of {len(chosen)} images of "
        f"{source.name}/{split} (95 % interval {low} to {high}) on {device}"
    )
