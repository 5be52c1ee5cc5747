"""Where values change between integers and floats while ONNX Runtime runs a network."""

from collections.abc import Iterable

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewise.graph.network import Network, module_of
from edgewise.quant.fake import FakeQuantize
from edgewise.targets.onnx import session
from edgewise.targets.onnx.audit import find_ends, find_node
from edgewise.targets.onnx.builder import INPUT
from edgewise.targets.onnx.shallow import OVERLAID
from edgewise.targets.onnx.writer import Written
from edgewise.targets.target import Boundary

_TO_INTEGERS, _TO_FLOAT = "QuantizeLinear", "DequantizeLinear"
_OUTPUT = "output"  # the network's answer, whichever of several

# What a value passes on its way from one layer to the next.
_PASSED = frozenset(
    {
        _TO_INTEGERS, _TO_FLOAT, "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice",
        "Split", "Gather", "Pad", "Identity", "Cast", "Expand", "ReorderInput", "ReorderOutput",
        "MaxPool", "NhwcMaxPool", "Relu", "LeakyRelu", "Clip",
    }
)  # fmt: skip


def find_boundaries(
    network: Network, written: Written, optimized: onnx.ModelProto
) -> tuple[Boundary, ...]:
    """Every conversion that is left in the optimized graph, in the order they run.

    Of constants there are none: they are converted once, when the model loads.
    """
    flow = _Flow(network, written, optimized.graph)
    found = [
        node
        for node in optimized.graph.node
        if node.op_type in (_TO_INTEGERS, _TO_FLOAT) and flow.changes(node)
    ]
    elements = _elements(network, optimized, [_float_side(node) for node in found])
    return tuple(_boundary(node, flow, count) for node, count in zip(found, elements, strict=True))


class _Flow:
    """Which layers values come from and go to."""

    def __init__(self, network: Network, written: Written, graph: onnx.GraphProto) -> None:
        self._producers = {output: node for node in graph.node for output in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._values = {init.name: init for init in graph.initializer}
        self._quantizers = _quantizers(network)
        self._layers: dict[str, str] = {}
        self._outputs = frozenset(written.outputs)
        ends = find_ends(written.model.graph, written.layers.values())
        for call in network.module.graph.nodes:
            name = written.layers.get(call.name)
            if name is None:
                continue
            for part in written.computing(name):
                node = find_node(graph, part, ends.get(name))
                if node is not None:
                    self._layers[node.output[0]] = str(call.meta["path"])
            self._layers[name] = str(call.meta["path"])  # what joins its parts bears its name

    def changes(self, node: onnx.NodeProto) -> bool:
        """Whether a node's input depends on the image."""
        return bool(self.before(node.input[0]))

    def before(self, name: str) -> tuple[str, ...]:
        """The layers that a value comes from; `input` is the image."""
        if name == INPUT:
            return (INPUT,)
        node = self._producers.get(name)
        if node is None:
            return ()
        if node.op_type in _PASSED:
            return self.before(node.input[0])
        return (self._name(node),)

    def after(self, name: str) -> tuple[str, ...]:
        """The layers that read a value; `output` is the network's answer."""
        found = [_OUTPUT] if name in self._outputs else []
        for node in self._readers.get(name, ()):
            passed = node.op_type in _PASSED or node.name.endswith(OVERLAID)
            found += self._after_all(node.output) if passed else [self._name(node)]
        return tuple(dict.fromkeys(found))

    def quantizer(self, node: onnx.NodeProto) -> str:
        """The quantizer whose codes a conversion makes or reads.

        The runtime stores equal scales once, under the name of any of them.
        """
        parameters = tuple(
            float(numpy_helper.to_array(self._values[name])) for name in node.input[1:3]
        )
        known = self._quantizers.get(parameters, {})
        before = self.before(node.input[0])
        named = (name for name, layer in known.items() if layer in before)
        return next(named, next(iter(known), str(node.name)))

    def _after_all(self, names: Iterable[str]) -> list[str]:
        return [layer for name in names for layer in self.after(name)]

    def _name(self, node: onnx.NodeProto) -> str:
        known = self._layers.get(node.output[0]) or self._layers.get(node.name)
        return known or str(node.name or node.op_type)


def _quantizers(network: Network) -> dict[tuple[float, ...], dict[str, str]]:
    """Quantizers with the layer that each follows, by scale and zero point."""
    found: dict[tuple[float, ...], dict[str, str]] = {}
    for node in network.module.graph.nodes:
        quantizer = module_of(network.module, node)
        if isinstance(quantizer, FakeQuantize):
            source = node.all_input_nodes[0]
            layer = INPUT if source.op == "placeholder" else str(node.meta["path"])
            parameters = (float(quantizer.scale), float(quantizer.zero_point))
            found.setdefault(parameters, {})[node.name] = layer
    return found


def _boundary(node: onnx.NodeProto, flow: _Flow, elements: int) -> Boundary:
    before, after = flow.before(node.input[0]), flow.after(node.output[0])
    integer = node.op_type == _TO_INTEGERS
    place = "inside"
    if integer and before == (INPUT,):
        place = INPUT
    elif not integer and after == (_OUTPUT,):
        place = _OUTPUT
    return Boundary(flow.quantizer(node), before, after, elements, integer, place)


def _float_side(node: onnx.NodeProto) -> str:
    return str(node.input[0] if node.op_type == _TO_INTEGERS else node.output[0])


def _elements(network: Network, optimized: onnx.ModelProto, names: list[str]) -> list[int]:
    """How many values of one image the tensors of those names hold: found by running it."""
    image = network.example().numpy()
    probe = onnx.ModelProto()
    probe.CopyFrom(optimized)
    given = [value.name for value in optimized.graph.output]
    shown = [name for name in dict.fromkeys(names) if name not in (INPUT, *given)]
    for name in shown:
        probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    values = session.run_as_it_is(probe, image, [*given, *shown])
    sizes = {INPUT: image.size}
    sizes |= {name: int(value.size) for name, value in zip([*given, *shown], values, strict=True)}
    return [sizes[name] for name in names]
