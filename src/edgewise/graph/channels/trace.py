"""Every tensor's channels, followed from the layers that make them to the layers that read them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from edgewise.graph.channels.atoms import Labels
from edgewise.graph.channels.flow import Flow, is_tensor
from edgewise.graph.channels.layout import Layout
from edgewise.graph.channels.rules import RULES
from edgewise.graph.network import Network, operation


@dataclass(frozen=True, eq=False)
class Trace:
    """layouts: of every tensor that has channels, where equal labels can only go together;
    reasons: label -> why those channels must stay.
    """

    layouts: Mapping[fx.Node, Layout]
    reasons: Mapping[int, str]

    def labels(self, node: fx.Node) -> Labels | None:
        """Of a node's output; None where it has no channels that could be removed."""
        layout = self.layouts.get(node)
        return None if layout is None else layout.labels


def trace(network: Network) -> Trace:
    """Follow channels through the network."""
    flow = Flow(network.module)
    for node in network.module.graph.nodes:
        kind = operation(network.module, node)
        if kind == "constant" or not _is_of_tensors(node):
            continue
        rule = RULES.get(kind)
        if rule is not None:
            flow.layouts[node] = rule(flow, node)
        else:
            flow.stop(node, "is no operation that channels are followed through")
    layouts = {
        node: Layout(found.axis, flow.atoms.resolved(found.labels))
        for node, found in flow.layouts.items()
        if isinstance(found, Layout)
    }
    atoms = ((atom, flow.atoms.reason(atom)) for atom in range(len(flow.atoms)))
    return Trace(layouts, {atom: reason for atom, reason in atoms if reason is not None})


def _is_of_tensors(node: fx.Node) -> bool:
    """Whether a node computes tensors: others, such as sizes, hold no channels."""
    return is_tensor(node) or node.op == "output" or any(map(is_tensor, node.users))
