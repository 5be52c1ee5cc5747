"""What a network costs: parameters, multiply-accumulates and bytes, layer by layer."""

import math
from dataclasses import dataclass

from torch import fx

from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import Network
from edgewise.graph.regions import region_of


@dataclass(frozen=True)
class LayerCost:
    """One weighted layer: parameters with bias, MACs for one image, bytes of weights as float32."""

    name: str
    kind: str
    region: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    size_bytes: int


def layer_costs(network: Network) -> tuple[LayerCost, ...]:
    """The cost of every weighted layer, in the order they run."""
    return tuple(_cost(network, node, layer) for node, layer in network.layers())


def activation_count(network: Network) -> int:
    """Values of all tensors that are computed for one image; at least one."""
    shapes = (n.meta["shape"] for n in network.module.graph.nodes if n.meta.get("floating"))
    return max(1, sum(int(math.prod(size or 1 for size in shape)) for shape in shapes))


def node_macs(node: fx.Node, form: Form, weights: int) -> int:
    """Multiply-accumulates of one call for one image; `weights` is the number of weights."""
    shape = node.meta["shape"][1:]
    # Every weight meets every output position once; a transposed one meets every input position.
    if form.kind == "conv_transpose2d":
        positions = node.all_input_nodes[0].meta["shape"][2:]
    else:
        positions = shape[:-1] if form.kind == "linear" else shape[1:]
    return weights * int(math.prod(positions))


def _cost(network: Network, node: fx.Node, layer: WeightedLayer) -> LayerCost:
    weights = layer.weight.numel()
    parameters = weights + (0 if layer.bias is None else layer.bias.numel())
    if layer.batch_norm is not None:
        parameters += sum(p.numel() for p in layer.batch_norm.parameters())
    return LayerCost(
        name=layer.form.path,
        kind=layer.form.kind,
        region=region_of(layer.form.path, network.regions),
        output_shape=tuple(int(size) for size in node.meta["shape"][1:]),
        parameters=parameters,
        macs=node_macs(node, layer.form, weights),
        size_bytes=4 * parameters,
    )
