"""What a bundle's manifest says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewise.graph.cost import layer_costs
from edgewise.graph.network import Network
from edgewise.pipeline.request import BASELINE, Request
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.target import Export


@dataclass(frozen=True)
class Made:
    """A variant: what it is to be, the network, and its verified artifact."""

    recipe: Recipe
    compressed: Compressed
    export: Export


def manifest(
    request: Request, network: Network, variants: Sequence[Made], records: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest, but for the hashes of files. records: kind -> paths in the bundle."""
    costs = layer_costs(network)
    return {
        "model": {
            "name": request.model.name,
            "source": request.model.source,
            "weights": request.model.inputs.get("weights"),
            "inputs": dict(request.model.inputs),
            "parameters": sum(layer.parameters for layer in costs),
            "macs": sum(layer.macs for layer in costs),
            "regions": {name: list(globs) for name, globs in network.regions.items()},
        },
        "data": {
            "name": request.data.name,
            "stand_in_for": request.data.stand_in_for,
            "test_images": len(request.data.split("test").head(request.test_images)),
            "classes": list(request.data.classes),
            "left_out": {one.name: len(one.left_out) for one in request.data.splits},
            "digests": request.data.digests(),
        },
        "contract": request.contract.to_json(),
        "seed": request.seed,
        "baseline": BASELINE.name,
        "variants": [_entry(request, variant) for variant in variants],
        "records": dict(records),
    }


def _entry(request: Request, variant: Made) -> dict[str, Any]:
    name = variant.recipe.name
    return {
        "name": name,
        "target": request.target.name,
        "runtime": request.target.runtime,
        "kernels": request.target.kernels,
        "artifact": f"{name}/{variant.export.path.name}",
        "quantizers": f"{name}/quant.json" if variant.recipe.quantizes else None,
        "recipe": variant.recipe.to_json(),
        "size_bytes": variant.export.size_bytes,
        "digest": variant.export.digest,
    }
