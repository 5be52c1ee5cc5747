"""What the functions that write one operation share."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, fx

from edgewise.errors import UnsupportedOpError
from edgewise.graph.network import operation
from edgewise.quant.integer import CLIPS, clip_bounds
from edgewise.targets.tflite.builder import Builder, Steps, Value, options
from edgewise.targets.tflite.layout import TO_NCHW, TO_NHWC, is_in_order, logical, physical

NONE = schema.ActivationFunctionType.NONE
RELU = schema.ActivationFunctionType.RELU
RELU6 = schema.ActivationFunctionType.RELU6

_FUSED: Mapping[tuple[float, float | None], int] = {
    (0.0, None): RELU,
    (0.0, 6.0): RELU6,
    (-1.0, 1.0): schema.ActivationFunctionType.RELU_N1_TO_1,
}


@dataclass
class Writing:
    """What is being written: the graph, the model, and the tensor of every node so far.

    widened: index of a tensor of codes -> what they stand for, where something has asked for it;
    merged: activation -> the node whose operator computes it too.
    """

    module: fx.GraphModule
    builder: Builder
    values: dict[fx.Node, Value]
    widened: dict[int, Value] = field(default_factory=dict)
    merged: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def input(self, node: fx.Node, index: int = 0) -> Value:
        """The tensor of a node's argument, codes or floats; a number or a constant too."""
        return self.value(node, node.args[index], f"value_{index}")

    def floats(self, node: fx.Node, index: int = 0) -> Value:
        """The same, in float."""
        return self.widen(self.input(node, index), f"{node.name}.value_{index}")

    def value(self, node: fx.Node, given: Any, role: str) -> Value:
        """The tensor of something that a node reads, be it a node, a constant or a number."""
        if isinstance(given, fx.Node) and given.op == "get_attr":
            return self._constant(node, given.name, self.constant_of(given))
        if isinstance(given, fx.Node) and given not in self.values:
            raise unsupported(given, "(not of real numbers)")
        if isinstance(given, fx.Node):
            return self.values[given]
        if not isinstance(given, (int, float)):
            raise unsupported(node, f"with the argument {given!r}")
        return self.builder.constant(f"{node.name}.{role}", np.float32(given))

    def constant_of(self, node: fx.Node) -> NDArray[np.float32]:
        """The values of a constant of the network's."""
        tensor = operator.attrgetter(str(node.target))(self.module)
        assert isinstance(tensor, Tensor)
        return np.asarray(tensor.detach().float().numpy())

    def fused(self, node: fx.Node) -> int:
        """The activation that an operator on floats computes with its own result."""
        if len(node.users) == 1:
            (reader,) = node.users
            kind = operation(self.module, reader)
            known = _FUSED.get(clip_bounds(reader, kind)) if kind in CLIPS else None
            if known is not None:
                self.merged[reader] = node
                return known
        return int(NONE)

    def _constant(self, node: fx.Node, name: str, array: NDArray[np.float32]) -> Value:
        """A constant as the result's layout wants it: axes that it lacks are in front."""
        rank = len(node.meta["shape"])
        if array.ndim and rank == 4:
            full = array.reshape((1,) * (4 - array.ndim) + array.shape)
            return self.builder.constant(f"{name}.nhwc", full.transpose(TO_NHWC))
        return self.builder.constant(name, array)

    def integers(self, name: str, values: Any) -> Value:
        """A constant of sizes, axes and so on."""
        return self.builder.constant(name, np.asarray(values, np.int32))

    def add(  # noqa: PLR0913 - of these an operator consists
        self, kind: str, inputs: Sequence[Value], name: str, shape: Sequence[int],
        settings: Any = None, steps: Steps | None = None,
    ) -> Value:  # fmt: skip
        """An operator with one output of the given name and shape, codes where there are steps."""
        output = self.builder.computed(name, shape, steps)
        return self.builder.operator(kind, inputs, output, settings)

    def move(
        self, kind: str, inputs: Sequence[Value], name: str, shape: Sequence[int], settings: Any
    ) -> Value:
        """An operator that moves the values of its first input: codes stay what they are."""
        return self.add(kind, inputs, name, shape, settings, inputs[0].steps)

    def widen(self, value: Value, name: str) -> Value:
        """What codes stand for; floats are what they are."""
        if value.steps is None:
            return value
        if value.index not in self.widened:
            made = self.add("DEQUANTIZE", [value], f"{name}.floats", value.shape)
            self.widened[value.index] = made
        return self.widened[value.index]

    def transpose(self, value: Value, name: str, order: Sequence[int]) -> Value:
        """Axes in another order."""
        axes = self.integers("order." + "".join(map(str, order)), order)
        shape = [value.shape[axis] for axis in order]
        return self.move("TRANSPOSE", [value, axes], name, shape, options("Transpose"))

    def in_order(self, value: Value, name: str) -> Value:
        """Values as they lie in the network, to be given a shape."""
        if is_in_order(value.shape):
            return value
        return self.transpose(value, f"{name}.nchw", TO_NCHW)

    def as_network(self, value: Value, name: str) -> Value:
        """A tensor of four axes in the network's layout."""
        shape = logical(value.shape)
        moved = self.in_order(value, name)
        return moved if moved.shape == shape else self.shaped(moved, f"{name}.nchw", shape)

    def as_model(self, value: Value, name: str) -> Value:
        """And back."""
        target = physical(value.shape)
        if is_in_order(target):
            return value if value.shape == target else self.shaped(value, name, target)
        return self.transpose(value, name, TO_NHWC)

    def reshape(self, value: Value, name: str, shape: Sequence[int | None]) -> Value:
        """Values in a shape of the network's, whose first axis is the batch."""
        value, target = self.in_order(value, name), physical(shape)
        if is_in_order(target):
            return self.shaped(value, name, target)
        straight = self.shaped(value, f"{name}.shaped", [1, *(int(s or 1) for s in shape[1:])])
        return self.transpose(straight, name, TO_NHWC)

    def shaped(self, value: Value, name: str, shape: Sequence[int]) -> Value:
        """The same values, in the order in which they lie, in a shape of the model's."""
        free = [-1, *shape[1:]]
        target = self.integers("shape." + "x".join(map(str, shape[1:])), free)
        settings = options("Reshape", newShape=free)
        return self.move("RESHAPE", [value, target], name, shape, settings)


Write = Callable[[Writing, fx.Node], Value]


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """A node's shape as the model has it; raises UnsupportedOpError where the batch is not
    first.
    """
    shape = node.meta["shape"]
    if shape[0] is not None or None in shape[1:]:
        raise unsupported(node, f"to {tuple(shape)}, which does not keep the batch axis first,")
    return physical(shape)


def unsupported(node: fx.Node, what: str) -> UnsupportedOpError:
    """The error for an operation that cannot be written."""
    where = node.meta.get("path") or node.name
    return UnsupportedOpError(
        f"{node.target} at '{where}' {what} has no TFLite form here; rewrite that layer with "
        "operations that edgewise writes (see the documentation's list), or choose --target onnx."
    )
