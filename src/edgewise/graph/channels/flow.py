"""What is known of channels while a graph is walked from its input to its output."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import fx

from edgewise.graph.channels.atoms import Atoms
from edgewise.graph.channels.layout import Layout, Shape
from edgewise.graph.network import operation

Found = Layout | tuple[Layout, ...] | None


@dataclass
class Flow:
    """layouts: of nodes that were passed; a tuple where a node gives several tensors; None where a
    tensor has no channels that could be removed. weights: layouts by the weights that were used,
    because layers that share theirs are cut alike; constants: layouts by name.
    """

    module: fx.GraphModule
    atoms: Atoms = field(default_factory=Atoms)
    layouts: dict[fx.Node, Found] = field(default_factory=dict)
    weights: dict[int, tuple[Layout | None, Layout]] = field(default_factory=dict)
    constants: dict[str, Layout] = field(default_factory=dict)

    def layout(self, value: Any) -> Layout | None:
        """Of one tensor."""
        found = self.layouts.get(value) if isinstance(value, fx.Node) else None
        return found if isinstance(found, Layout) else None

    def constant(self, node: fx.Node, axis: int) -> Layout | None:
        """Channels of a constant along that axis, which are cut as those it meets; None where it
        was read along another axis before.
        """
        name = str(node.target)
        if name not in self.constants:
            self.constants[name] = Layout(axis, self.atoms.new(int(shape_of(node)[axis] or 0)))
        self.layouts[node] = known = self.constants[name]
        return known if known.axis == axis else None

    def stop(self, node: fx.Node, why: str, sources: Sequence[Any] | None = None) -> None:
        """Channels of these inputs, by default of all, must stay: the node needs them as they are.

        why: ends the sentence `softmax at 'head' ...`.
        """
        reason = f"{operation(self.module, node)} at '{place_of(node)}' {why}"
        for source in node.all_input_nodes if sources is None else sources:
            found = self.layouts.get(source)
            for layout in found if isinstance(found, tuple) else (found,):
                if layout is not None:
                    self.atoms.keep(layout.labels, reason)


def place_of(node: fx.Node) -> str:
    """The user's layer that a node is of, or the node's own name."""
    path = str(node.meta.get("path") or "")
    return node.name if not path or path.startswith("_") else path


def shape_of(node: fx.Node) -> Shape:
    """Shape of a node's output, the batch first and None."""
    return tuple(node.meta.get("shape") or ())


def is_tensor(value: Any) -> bool:
    """Whether a node's value is one tensor."""
    return isinstance(value, fx.Node) and value.meta.get("shape") is not None
