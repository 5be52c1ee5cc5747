"""What the functions that write one operation share."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, fx

from edgewise.errors import UnsupportedOpError
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import module_of
from edgewise.quant.stored import StoredLayer
from edgewise.targets.onnx.builder import Builder


@dataclass
class Writing:
    """What is being written: the graph, the model, and the tensor name of every node so far."""

    module: fx.GraphModule
    builder: Builder
    names: dict[fx.Node, str]

    def name(self, node: fx.Node) -> str:
        """What a node is called in the model.

        What follows a layer at once bears its name too: where the runtime fuses the two, only the
        later name survives.
        """
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        if source is None or len(source.users) > 1:
            return node.name
        follows = isinstance(module_of(self.module, source), (WeightedLayer, StoredLayer))
        return f"{source.name}.{node.name}" if follows else node.name

    def input(self, node: fx.Node, index: int = 0) -> str:
        """The tensor of a node's argument; a number or a constant becomes an initializer."""
        return self.value(node, node.args[index], f"value_{index}")

    def value(self, node: fx.Node, value: Any, role: str) -> str:
        """The tensor of something that a node reads, be it a node, a constant or a number."""
        if isinstance(value, fx.Node) and value.op == "get_attr":
            tensor = operator.attrgetter(str(value.target))(self.module)
            assert isinstance(tensor, Tensor)
            return self.builder.constant(value.name, tensor.detach().float().numpy())
        if isinstance(value, fx.Node) and value not in self.names:
            raise unsupported(value, "(not of real numbers)")
        if isinstance(value, fx.Node):
            return self.names[value]
        if not isinstance(value, (int, float)):
            raise unsupported(node, f"with the argument {value!r}")
        return self.builder.constant(f"{self.name(node)}.{role}", np.float32(value))

    def integers(self, node: fx.Node, role: str, values: Sequence[int]) -> str:
        """An initializer of sizes, axes and so on."""
        return self.builder.constant(f"{self.name(node)}.{role}", np.asarray(values, np.int64))


Write = Callable[[Writing, fx.Node], str]


def unsupported(node: fx.Node, what: str) -> UnsupportedOpError:
    """The error for an operation that cannot be written."""
    where = node.meta.get("path") or node.name
    return UnsupportedOpError(
        f"{node.target} at '{where}' {what} has no ONNX form here; rewrite that layer with "
        "operations that edgewise writes (see the documentation's list)."
    )
