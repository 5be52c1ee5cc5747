"""Walks a network's graph and writes the TFLite model that its quantizers describe.

The model takes and gives what the network does, floats and images as NCHW, so that whatever feeds
one artifact feeds the other: it begins with a TRANSPOSE to the runtime's NHWC and, where the result
is a map, ends with one back. In between, int8 codes stay codes from one operation to the next;
where one has no integer kernel, it is computed in float from what the codes stand for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from edgewise.errors import ExportError
from edgewise.graph.layer import Form, WeightedLayer, as_depthwise
from edgewise.graph.network import (
    Network,
    module_of,
    operation,
    output_names,
    output_nodes,
)
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.placement import PASS
from edgewise.quant.stored import StoredLayer
from edgewise.targets.metadata import metadata_of
from edgewise.targets.tflite.builder import INPUT, Builder, Value, options
from edgewise.targets.tflite.ending import Ending, find_ending
from edgewise.targets.tflite.integer import INTEGER
from edgewise.targets.tflite.layers import (
    Parameters,
    Result,
    float_parameters,
    integer_parameters,
    write_layer,
)
from edgewise.targets.tflite.ops import emit
from edgewise.targets.tflite.writing import NONE, Writing

_FLOATS = (WeightedLayer, StoredLayer, DynamicLayer)
_LOW, _HIGH = -128, 127
_COARSEST = 256


@dataclass(frozen=True)
class Layer:
    """A layer's operator, what it reads and gives, its weights, and the constant that these are
    made of.
    """

    operator: str
    source: Value
    result: Value
    weight: Value
    stored: Value
    form: Form


@dataclass(frozen=True)
class Written:
    """A model, and where its codes and layers are.

    codes: quantizer node of the graph -> index of the tensor of its codes;
    layers: weighted node of the graph -> its operator.
    """

    model: Any
    codes: Mapping[str, int]
    layers: Mapping[str, Layer]


@torch.no_grad()
def write(network: Network) -> Written:
    """The TFLite model of a network, float, half, with stored weights, dynamic or quantized.

    Raises UnsupportedOpError for an operation that has no TFLite form here.
    """
    writer = _Writer(network)
    for node in network.module.graph.nodes:
        writer.visit(node)
    model = writer.builder.model(writer.given, writer.results, metadata_of(network))
    return Written(model, writer.codes, writer.layers)


class _Writer(Writing):
    def __init__(self, network: Network) -> None:
        super().__init__(network.module, Builder(), {})
        self.half = network.half
        self.codes: dict[str, int] = {}
        self.layers: dict[str, Layer] = {}
        self.given = self.builder.computed(INPUT, (1, *network.contract.shape))
        self.results: list[Value] = []

    def visit(self, node: fx.Node) -> None:
        target = module_of(self.module, node)
        kind = operation(self.module, node)
        if node in self.values or kind == "constant":
            return  # written with what it belongs to; a constant by whoever reads it
        if node in self.merged:
            self.values[node] = self.values[self.merged[node]]
        elif kind == "input":
            self.values[node] = self.as_model(self.given, f"{node.name}.nhwc")
        elif kind == "output":
            self._outputs()
        elif isinstance(target, FakeQuantize):
            self._quantize(node)
        elif isinstance(target, QuantizedLayer):
            self._integer_layer(node, target)
        elif isinstance(target, nn.BatchNorm2d):
            self._float_layer(node, as_depthwise(target, str(node.meta["path"])))
        elif isinstance(target, _FLOATS):
            self._float_layer(node, target)
        elif node.meta.get("floating") or kind in ("chunk", "split", "split_with_sizes"):
            self._operation(node, kind)

    def _operation(self, node: fx.Node, kind: str) -> None:
        ending = None if kind in PASS else find_ending(self.module, node)
        if ending is not None and kind in INTEGER and self._reads_codes(node):
            found = INTEGER[kind](self, node, ending)
            if found is not None:
                self._end(ending, *found)
                return
        self.values[node] = emit(self, node, kind)

    def _reads_codes(self, node: fx.Node) -> bool:
        """Whether all that a node computes with are codes."""
        numbers = (
            not isinstance(given, fx.Node)
            for given in node.args[:2]
            if operation(self.module, node) in ("add", "sub", "mul")
        )
        sources = (self.values.get(source) for source in node.all_input_nodes)
        return not any(numbers) and all(one is not None and one.steps for one in sources)

    def _quantize(self, node: fx.Node) -> None:
        """Codes of floats, or of codes that something clips no more than they were."""
        source = node.all_input_nodes[0]
        ending = find_ending(self.module, source)
        assert ending is not None
        if not ending.quantizer.kind.signed:
            raise ExportError(
                f"the quantizers of this network are those of another runtime, as '{node.name}'; "
                "quantize it with the profile 'litert'."
            )
        value = self.values[source]
        name = node.name if ending.bounds == (_LOW, _HIGH) else f"{node.name}.free"
        kind = options("Quantize")
        codes = self.add("QUANTIZE", [value], name, value.shape, kind, ending.steps)
        self._end(ending, codes, False)

    def _end(self, ending: Ending, value: Value, bounded: bool) -> None:
        """Hold codes within their bounds, and let all that follows up to the quantizer be them."""
        low, high = ending.bounds
        name = ending.last.name
        steps = ending.steps
        for operator, bound, is_end in (
            ("MAXIMUM", low, low == _LOW), ("MINIMUM", high, high == _HIGH),
        ):  # fmt: skip
            if bounded or is_end:
                continue
            code = np.asarray(bound, np.int8)
            limit = self.builder.constant(f"{name}.{operator.lower()}", code, steps)
            own = name if operator == "MINIMUM" or high == _HIGH else f"{name}.low"
            kind = options("MaximumMinimum")
            value = self.add(operator, [value, limit], own, value.shape, kind, steps)
        for node in (*ending.past, ending.last):
            self.values[node] = value
        self.codes[name] = value.index

    def _integer_layer(self, node: fx.Node, layer: QuantizedLayer) -> None:
        ending = find_ending(self.module, node)
        if ending is None or self.input(node).steps is None:
            raise ExportError(
                f"'{layer.form.path}' is on integers and what it gives is not quantized; no "
                "runtime executes that. Train it with the placement 'target'."
            )
        if float(layer.step.max()) >= _COARSEST * ending.steps.scale[0]:
            raise ExportError(
                f"a sum of '{layer.form.path}' stands for {_COARSEST} times as much as a code of "
                "its result, or more, which XNNPACK does not take; keep it in float with "
                "--keep-float."
            )
        activation = ending.activation
        name = ending.last.name if activation is not None else f"{ending.last.name}.free"
        result = Result(name, ending.steps, NONE if activation is None else activation)
        given = integer_parameters(self, node, layer)
        self._end(ending, self._written(node, layer, given, result), activation is not None)

    def _float_layer(
        self, node: fx.Node, layer: WeightedLayer | StoredLayer | DynamicLayer
    ) -> None:
        if isinstance(layer, DynamicLayer):
            given, activation = integer_parameters(self, node, layer), NONE  # to be looked at
        else:
            given = float_parameters(self, node, layer, self.half)
            activation = self.fused(node)
        result = Result(node.name, None, activation)
        self.values[node] = self._written(node, layer, given, result)

    def _written(self, node: fx.Node, layer: Any, given: Parameters, result: Result) -> Value:
        operator, value = write_layer(self, node, layer.form, given, result)
        source = self.widened.get(self.input(node).index, self.input(node))
        self.layers[node.name] = Layer(
            operator, source, value, given.weight, given.stored, layer.form
        )
        return value

    def _outputs(self) -> None:
        nodes = output_nodes(self.module)
        for node, name in zip(nodes, output_names(len(nodes)), strict=True):
            result = self.values[node]
            if len(result.shape) == 4:  # before it is widened: codes are a quarter of the bytes
                result = self.as_network(result, name)
            self.results.append(self.builder.renamed(self.widen(result, name), name))
