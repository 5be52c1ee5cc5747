"""`edgewise inspect`: what a model or an artifact is made of."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from edgewise import units
from edgewise.cli.common import console, emit, json_option
from edgewise.cli.models import Asked, contract_without_data, takes_model
from edgewise.graph.cost import LayerCost, layer_costs
from edgewise.graph.network import Network
from edgewise.pipeline.network import captured
from edgewise.targets.table import TARGETS, target_of
from edgewise.targets.target import ArtifactLayer


@click.command(
    epilog="""
\b
Examples:
  edgewise inspect vgg16
  edgewise inspect net.py:make --input-shape 3,224,224
  edgewise inspect out/int8/model.onnx
  edgewise inspect out/int8/model.tflite
"""
)
@takes_model
@json_option
def command(asked: Asked, as_json: bool) -> None:
    """Layers, regions, parameters, MACs and bytes of MODEL; precision per layer of an ARTIFACT."""
    if asked.name.endswith(tuple(kind.suffix for kind in TARGETS.values())):
        _show_artifact(Path(asked.name), as_json)
        return
    loaded = asked.load()
    network = captured(loaded, contract_without_data(asked, loaded))
    costs = layer_costs(network)
    if as_json:
        known = {"model": loaded.source, "layers": [asdict(cost) for cost in costs]}
        emit("inspect", {**known, **_said_of(network)})
    else:
        console.print(_model_table(loaded.source, costs))
        if any(cost.region for cost in costs):
            console.print(_region_table(costs))
        for line in _proposals(network):
            console.print(Text(line))


def _said_of(network: Network) -> dict[str, Any]:
    """Regions and layers of outputs, and which of them were not declared."""
    return {
        "regions": {name: list(globs) for name, globs in network.regions.items()},
        "float_outputs": list(network.float_outputs),
        "proposed": sorted(network.proposed),
    }


def _proposals(network: Network) -> list[str]:
    """What was read from the graph, in words; nothing where all was declared."""
    found = []
    if "regions" in network.proposed:
        found.append(
            "Regions are proposed from the graph, not declared; edgewise_regions declares them."
        )
    if "float_outputs" in network.proposed:
        found.append(
            f"Layers that stay in float by default, proposed and not declared (edgewise_outputs): "
            f"{', '.join(network.float_outputs)}."
        )
    return found


def _model_table(title: str, costs: tuple[LayerCost, ...]) -> Table:
    table = Table(title=title, show_footer=True)
    macs, parameters = sum(c.macs for c in costs), sum(c.parameters for c in costs)
    columns: tuple[tuple[str, Any, str], ...] = (
        ("layer", "left", f"{len(costs)} layers"),
        ("kind", "left", ""),
        ("region", "left", ""),
        ("output", "right", ""),
        ("parameters", "right", units.count(parameters)),
        ("MACs", "right", units.count(macs)),
        ("share", "right", ""),
        ("float32", "right", units.size(4 * parameters)),
    )
    for heading, justify, footer in columns:
        table.add_column(heading, footer, justify=justify)
    for cost in costs:
        table.add_row(
            cost.name,
            cost.kind,
            cost.region or "–",
            "x".join(str(size) for size in cost.output_shape),
            units.count(cost.parameters),
            units.count(cost.macs),
            units.percent(cost.macs / max(macs, 1), 1),
            units.size(cost.size_bytes),
        )
    return table


def _region_table(costs: tuple[LayerCost, ...]) -> Table:
    table = Table()
    for heading in ("region", "layers", "parameters", "share", "MACs", "share", "float32"):
        table.add_column(heading, justify="left" if heading == "region" else "right")
    macs, parameters = (max(1, sum(each)) for each in zip(*map(_two, costs), strict=True))
    for region in dict.fromkeys(cost.region for cost in costs):
        inside = [cost for cost in costs if cost.region == region]
        some_macs, some = (sum(each) for each in zip(*map(_two, inside), strict=True))
        table.add_row(
            region or "–",
            str(len(inside)),
            units.count(some),
            units.percent(some / parameters, 1),
            units.count(some_macs),
            units.percent(some_macs / macs, 1),
            units.size(4 * some),
        )
    return table


def _two(cost: LayerCost) -> tuple[int, int]:
    return cost.macs, cost.parameters


def _show_artifact(path: Path, as_json: bool) -> None:
    layers = target_of(path).inspect(path)
    if as_json:
        emit("inspect", {"artifact": path.name, "layers": [asdict(layer) for layer in layers]})
    else:
        console.print(_artifact_table(path, layers))


def _artifact_table(path: Path, layers: tuple[ArtifactLayer, ...]) -> Table:
    table = Table(title=f"{path} ({units.size(path.stat().st_size)})", show_footer=True)
    table.add_column("layer", f"{len(layers)} layers")
    table.add_column("stored as")
    table.add_column("activations")
    table.add_column("runs as")
    weights, size = sum(one.weights for one in layers), sum(one.size_bytes for one in layers)
    table.add_column("weights", units.count(weights), justify="right")
    table.add_column("in the file", units.size(size), justify="right")
    for one in layers:
        numbers = units.count(one.weights), units.size(one.size_bytes)
        table.add_row(one.name, one.stored, one.activations, one.operator, *numbers)
    return table
