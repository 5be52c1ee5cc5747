"""Backbone, neck and head of a detector that declares none, by the structure of its graph alone.

A detector gives several maps. Its backbone shrinks the image, its neck brings coarse maps back to
finer ones (Lin et al. 2017), and its heads make the outputs, each of them one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from glob import escape
from typing import Any

from torch import fx

from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of, operation, output_nodes

_WEIGHTED = ("conv2d", "conv_transpose2d", "convtranspose2d", "linear")
_JOINS = ("add", "iadd", "cat", "concat")

Nodes = frozenset[fx.Node]


def with_proposals(network: Network, declares_outputs: bool) -> Network:
    """The network, with what it does not declare proposed, where it gives several maps.

    declares_outputs: it says which layers make its outputs, be it none.
    """
    outputs = output_nodes(network.module)
    if len(outputs) < 2 or not all(_side(node) for node in outputs):
        return network
    found: dict[str, Any] = {}
    if not network.regions:
        regions = propose_regions(network.module)
        found["regions"] = {name: tuple(map(escape, paths)) for name, paths in regions.items()}
    if not declares_outputs:
        found["float_outputs"] = tuple(map(escape, output_layers(network.module)))
    return replace(network, **found, proposed=frozenset(found))


def output_layers(module: fx.GraphModule) -> tuple[str, ...]:
    """Paths of the last weighted layers before each output, in the order they run."""
    flow = _flow(module)
    return _paths(module, (node for node in flow.layers if flow.is_last(node)))


def propose_regions(module: fx.GraphModule) -> dict[str, tuple[str, ...]]:
    """Region -> paths of its weighted layers in the order they run; {} for a single output.

    Each node's meta holds `shape`, batch axis first. The heads are the layers that lead to exactly
    one output, as many on the way to each as there are on the way to the one with fewest: a neck's
    last layers also lead to one alone, heads are alike. The neck is what comes after the first map
    that was enlarged and joined with another, what brings the backbone's maps there, and before
    the first enlargement what follows the layer that makes the coarsest map narrower. A region that
    has no layer is left out.
    """
    flow = _flow(module)
    if len(flow.outputs) < 2:
        return {}
    head = _head(flow)
    neck = _neck(flow) - head
    backbone = frozenset(flow.layers) - head - neck
    found: dict[str, tuple[str, ...]] = {}
    for region, nodes in (("head", head), ("neck", neck), ("backbone", backbone)):
        # A layer that is called twice has one path, and is of the region nearest to the outputs.
        taken = {path for paths in found.values() for path in paths}
        paths = _paths(module, (node for node in flow.layers if node in nodes))
        found[region] = tuple(path for path in paths if path not in taken)
    return {region: found[region] for region in reversed(found) if found[region]}


@dataclass(frozen=True)
class _Flow:
    """A graph by what reaches what: a node is before and after itself.

    layers: the weighted ones, in the order they run.
    """

    nodes: tuple[fx.Node, ...]
    layers: tuple[fx.Node, ...]
    outputs: tuple[fx.Node, ...]
    before: Mapping[fx.Node, Nodes]
    joins: tuple[fx.Node, ...]

    def after(self, nodes: Iterable[fx.Node]) -> Nodes:
        """What any of them reaches."""
        start = set(nodes)
        return frozenset(node for node in self.nodes if not start.isdisjoint(self.before[node]))

    def leads_to(self, node: fx.Node) -> list[fx.Node]:
        """The outputs that a node reaches."""
        return [output for output in self.outputs if node in self.before[output]]

    def is_last(self, layer: fx.Node) -> bool:
        """Whether some output comes of a layer with no other one between."""
        reached, seen = [layer], set[fx.Node]()
        while reached:
            node = reached.pop()
            if node in self.outputs:
                return True
            fresh = [user for user in node.users if user not in seen and user not in self.layers]
            seen.update(fresh)
            reached += fresh
        return False

    def arms(self, join: fx.Node) -> list[Nodes]:
        """What comes before each input of a join, but not before all of them."""
        inputs = [self.before[node] for node in join.all_input_nodes]
        return [arm - frozenset.intersection(*inputs) for arm in inputs]


def _flow(module: fx.GraphModule) -> _Flow:
    nodes = tuple(node for node in module.graph.nodes if node.op != "output")
    (end,) = (node for node in module.graph.nodes if node.op == "output")
    before: dict[fx.Node, Nodes] = {}
    for node in nodes:
        before[node] = frozenset({node}).union(*(before[one] for one in node.all_input_nodes))
    kinds = {node: operation(module, node) for node in nodes}
    return _Flow(
        nodes,
        tuple(node for node in nodes if kinds[node] in _WEIGHTED),
        tuple(end.all_input_nodes),
        before,
        tuple(n for n in nodes if kinds[n] in _JOINS and len(n.all_input_nodes) > 1),
    )


def _head(flow: _Flow) -> Nodes:
    depths: dict[fx.Node, int] = {}
    for node in reversed(flow.layers):
        later = (depths[one] for one in flow.layers if one in depths and node in flow.before[one])
        depths[node] = 1 + max(later, default=0)
    alone = {node: reached[0] for node in flow.layers if len(reached := flow.leads_to(node)) == 1}
    deepest = [
        max((depths[node] for node, end in alone.items() if end is output), default=0)
        for output in flow.outputs
    ]
    return frozenset(node for node in alone if depths[node] <= min(deepest))


def _neck(flow: _Flow) -> Nodes:
    mixing = [join for join in flow.joins if any(map(_grows, frozenset().union(*flow.arms(join))))]
    inside = frozenset().union(*(a for j in flow.joins if j not in mixing for a in flow.arms(j)))
    starts = list(mixing)
    for join in mixing:
        for arm in flow.arms(join):
            layers = [node for node in flow.layers if node in arm]
            if any(map(_grows, arm)):
                coarsest = min(map(_side, layers), default=0)
                narrow = (n for n in layers if _side(n) == coarsest and n not in inside)
                starts += [node for node in narrow if _narrows(node)][:1]
            else:
                starts += layers
    return flow.after(starts)


def _shape(node: fx.Node) -> tuple[int, int]:
    """Channels and height of a map; zeros for what is none."""
    shape = node.meta.get("shape")
    return (int(shape[1]), int(shape[2])) if shape is not None and len(shape) == 4 else (0, 0)


def _side(node: fx.Node) -> int:
    return _shape(node)[1]


def _grows(node: fx.Node) -> bool:
    """Whether a map becomes larger."""
    return any(0 < _side(one) < _side(node) for one in node.all_input_nodes)


def _narrows(node: fx.Node) -> bool:
    return any(_shape(node)[0] < _shape(one)[0] for one in node.all_input_nodes)


def _paths(module: fx.GraphModule, nodes: Iterable[fx.Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_path(module, node) for node in nodes))


def _path(module: fx.GraphModule, node: fx.Node) -> str:
    layer = module_of(module, node)
    if isinstance(layer, WeightedLayer):
        return layer.form.path
    return str(node.target if layer is not None else node.meta.get("path") or node.name)
