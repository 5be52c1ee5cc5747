"""The parts of a quantized network that are judged: its layers, or its regions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape

from torch import fx

from edgewise.errors import UsageError
from edgewise.graph.network import Network, module_of, operation
from edgewise.graph.regions import region_of
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.placement import COMPUTE, PASS
from edgewise.quant.profiles import PROFILES

_FUSED = frozenset[str]().union(*(one.fused for one in PROFILES.values()))
REST = "(rest)"


@dataclass(frozen=True)
class Part:
    """What is quantized together while everything else is float.

    globs: name it to `keep_float`; layers: paths, in the order they run; parameters: weights;
    nodes: of the quantized graph, the layers and the quantizers of their inputs and outputs.
    """

    name: str
    region: str
    globs: tuple[str, ...]
    layers: tuple[str, ...]
    parameters: int
    nodes: frozenset[str]


def parts(quantized: Network, by: str) -> tuple[Part, ...]:
    """The parts by `layer` or by `region`, in the order they first run.

    Layers that run in float are in no part. Raises UsageError for a network without regions.
    """
    return by_layer(quantized) if by == "layer" else by_region(quantized)


def by_layer(quantized: Network) -> tuple[Part, ...]:
    """A part for every integer layer; one that the network calls twice is one part."""
    calls: dict[str, list[fx.Node]] = {}
    for node, layer in _layers(quantized):
        calls.setdefault(layer.form.path, []).append(node)
    return tuple(
        _part(quantized, path, region_of(path, quantized.regions), (escape(path),), nodes)
        for path, nodes in calls.items()
    )


def by_region(quantized: Network) -> tuple[Part, ...]:
    """A part for every region with integer layers; layers in no region are the rest.

    A region also holds its operations without weights, such as the sum of a skip connection.
    """
    if not quantized.regions:
        raise UsageError(
            f"{quantized.name} declares no regions; name them with --region NAME=GLOB, set "
            "`edgewise_regions` on the network, or ask --by layer."
        )
    members: dict[str, list[fx.Node]] = {}
    for node in quantized.module.graph.nodes:
        if _is_integer(quantized.module, node):
            members.setdefault(_region(quantized, node), []).append(node)
    found = []
    for region, nodes in members.items():
        paths = _paths(quantized.module, nodes)
        globs = quantized.regions[region] if region else tuple(escape(path) for path in paths)
        if paths:
            found.append(_part(quantized, region or REST, region, globs, nodes))
    return tuple(found)


def end_of(module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The quantizer after a layer, past a fused activation; the last before it if there is none."""
    current = node
    while len(current.users) == 1 and not isinstance(module_of(module, current), FakeQuantize):
        (reader,) = current.users
        fused = operation(module, reader) in _FUSED
        if not fused and not isinstance(module_of(module, reader), FakeQuantize):
            break
        current = reader
    return current


def _layers(network: Network) -> Iterator[tuple[fx.Node, QuantizedLayer]]:
    for node in network.module.graph.nodes:
        layer = module_of(network.module, node)
        if isinstance(layer, QuantizedLayer):
            yield node, layer


def _part(
    network: Network, name: str, region: str, globs: tuple[str, ...], nodes: Sequence[fx.Node]
) -> Part:
    module = network.module
    modules = (module_of(module, node) for node in nodes)
    weights = {  # of a layer that is called twice, once
        layer.form.path: layer.weight_codes.numel()
        for layer in modules
        if isinstance(layer, QuantizedLayer)
    }
    around = frozenset(name for node in nodes for name in _around(module, node))
    return Part(name, region, globs, tuple(weights), sum(weights.values()), around)


def _around(module: fx.GraphModule, node: fx.Node) -> Iterator[str]:
    """A layer's name, and those of the quantizers of a node's inputs and its output."""
    if isinstance(module_of(module, node), QuantizedLayer):
        yield node.name
    ends = [end_of(module, node)]
    for source in node.all_input_nodes:
        while operation(module, source) in PASS:
            source = source.all_input_nodes[0]
        ends.append(source)
    yield from (end.name for end in ends if isinstance(module_of(module, end), FakeQuantize))


def _is_integer(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node computes on quantized values; a layer that stays in float does not."""
    if isinstance(module_of(module, node), QuantizedLayer):
        return True
    return node.op == "call_function" and operation(module, node) in COMPUTE


def _region(network: Network, node: fx.Node) -> str:
    layer = module_of(network.module, node)
    if isinstance(layer, QuantizedLayer):
        return region_of(layer.form.path, network.regions)
    return region_of(f"{node.meta.get('path') or ''}.{node.name}".lstrip("."), network.regions)


def _paths(module: fx.GraphModule, nodes: Iterable[fx.Node]) -> tuple[str, ...]:
    layers = (module_of(module, node) for node in nodes)
    return tuple(
        dict.fromkeys(layer.form.path for layer in layers if isinstance(layer, QuantizedLayer))
    )
