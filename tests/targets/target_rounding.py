"""Which operation's result a quantizer rounds."""

from edgewise.graph.network import Network, operation
from edgewise.quant.integer import CLIPS


def rounded_operations(network: Network) -> dict[str, str]:
    """The operation by each quantizer's node, past activations that the quantizer clips."""
    found = {}
    for node in network.module.graph.nodes:
        if operation(network.module, node) == "fakequantize":
            before = node.all_input_nodes[0]
            while operation(network.module, before) in CLIPS:
                before = before.all_input_nodes[0]
            found[node.name] = operation(network.module, before)
    return found
