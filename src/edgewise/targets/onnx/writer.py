"""Walks a network's graph and writes the ONNX model that its quantizers describe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import torch
from torch import fx

from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import (
    Network,
    module_of,
    operation,
    output_names,
    output_nodes,
)
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.insert import find_source
from edgewise.quant.placement import PASS
from edgewise.quant.stored import StoredLayer
from edgewise.targets.metadata import metadata_of
from edgewise.targets.onnx.around import (
    LAYERS,
    attributes_of,
    clips_codes,
    code_bounds_at,
    is_bare_product,
    pads_convolution,
    picks_pixels,
    quantizer_after,
    stands_between_codes,
)
from edgewise.targets.onnx.builder import INPUT, Builder, Dialect
from edgewise.targets.onnx.dynamic import DynamicTensors, write_dynamic
from edgewise.targets.onnx.kernels import AMX, KERNELS_KEY, PLAIN, zero_code
from edgewise.targets.onnx.ops import emit
from edgewise.targets.onnx.parameters import (
    float_parameters,
    integer_parameters,
    part_parameters,
    stored_parameters,
)
from edgewise.targets.onnx.parts import count_parts, names_of_parts
from edgewise.targets.onnx.shallow import Overlay, is_shallow
from edgewise.targets.onnx.writing import Writing


@dataclass(frozen=True)
class Written:
    """A model, and where its codes and layers are.

    codes: quantizer node of the graph -> tensor of codes in the model;
    layers: weighted node of the graph -> node of the model;
    dynamic: weighted node whose input is quantized as it comes -> tensors of the model;
    parts: node of the model that joins a layer's parts -> these.
    """

    model: onnx.ModelProto
    codes: Mapping[str, str]
    layers: Mapping[str, str]
    dynamic: Mapping[str, DynamicTensors] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def computing(self, layer: str) -> Sequence[str]:
        """The nodes that compute what a node of the model, which is a layer, gives."""
        return self.parts.get(layer, (layer,))

    @property
    def outputs(self) -> list[str]:
        """Names of the model's outputs, in the network's order."""
        return [value.name for value in self.model.graph.output]


@torch.no_grad()
def write(network: Network, dialect: Dialect | None = None) -> Written:
    """The ONNX model of a network, float, half, with stored weights or quantized.

    dialect: by default ONNX Runtime's. Raises UnsupportedOpError for an operation that has no ONNX
    form here, ExportError when the result is not valid.
    """
    writer = _Writer(network, Builder(dialect))
    for node in network.module.graph.nodes:
        writer.visit(node)
    # A range is that of all images in a batch: an answer would depend on what else is in it.
    batch = 1 if writer.dynamic else None
    kernels = writer.builder.dialect.kernels
    texts = metadata_of(network) | ({KERNELS_KEY: AMX} if kernels == AMX else {})
    model = writer.builder.model(network.contract.shape, writer.outputs, texts, batch)
    return Written(model, writer.codes, writer.layers, writer.dynamic, writer.parts)


class _Writer(Writing):
    def __init__(self, network: Network, builder: Builder) -> None:
        super().__init__(network.module, builder, {})
        self.half = network.half
        self.codes: dict[str, str] = {}
        self.layers: dict[str, str] = {}
        self.dynamic: dict[str, DynamicTensors] = {}
        self.parts: dict[str, Sequence[str]] = {}
        self.outputs: dict[str, tuple[int | None, ...]] = {}

    def visit(self, node: fx.Node) -> None:
        target = module_of(self.module, node)
        kind = operation(self.module, node)
        if kind == "input":
            self.names[node] = INPUT
        elif kind == "output":
            self._outputs()
        elif isinstance(target, FakeQuantize):
            pair = self._pair(node.name, self.input(node), node, code_bounds_at(self.module, node))
            self.names[node], self.codes[node.name] = pair
        elif isinstance(target, LAYERS):
            layer = self.layers[node.name] = self._layer(node, target)
            if isinstance(target, QuantizedLayer):
                taken = self.builder.dialect.apart and is_bare_product(node, target)
            else:
                taken = stands_between_codes(self.module, node)
            self.names[node] = self._kept_float(layer) if taken else layer
        elif isinstance(target, DynamicLayer):
            self.names[node] = self._dynamic(node, target)
        elif kind == "constant":
            pass  # whoever reads it writes it
        elif node.meta.get("floating") or kind in ("chunk", "split", "split_with_sizes"):
            self._operation(node, kind)

    def _operation(self, node: fx.Node, kind: str) -> None:
        if clips_codes(self.module, node) or pads_convolution(self.module, node):
            self.names[node] = self.input(node)
            return
        self.names[node] = emit(self, node, kind)
        moved = kind in PASS and self.names[node] == self.name(node)  # not where it wrote nothing
        source = find_source(self.module, node) if moved else None
        if source is not None:
            # The same parameters again: the runtime then moves codes and not floats.
            self.names[node], _ = self._pair(f"{node.name}_again", self.names[node], source)

    def _picked(self, node: fx.Node, strides: Sequence[int]) -> str:
        source = find_source(self.module, node)
        assert source is not None
        picked = self.builder.node(
            "MaxPool",
            [self.input(node)],
            f"{node.name}.pixels",
            kernel_shape=[1, 1],
            strides=strides,
        )
        return self._pair(f"{node.name}.pixels.again", picked, source)[0]

    def _kept_float(self, layer: str) -> str:
        """The result of a float layer between codes, which the runtime leaves in float; or of one
        that is kept apart.

        Where it finds a QuantizeLinear after such a layer, it rounds the weights by itself. A leaky
        ReLU of slope 1 changes no value and is computed within the layer, unlike other operations
        that would stand between the two: the runtime removes them or spends time on them.
        """
        return self.builder.node("LeakyRelu", [layer], f"{layer}.float", alpha=1.0)

    def _pair(
        self, name: str, value: str, call: fx.Node, bounds: tuple[int, int] | None = None
    ) -> tuple[str, str]:
        """QuantizeLinear and DequantizeLinear; the dequantized and the quantized tensor."""
        quantizer = module_of(self.module, call)
        assert isinstance(quantizer, FakeQuantize)
        codes = np.int8 if quantizer.kind.signed else np.uint8
        scale = self.builder.constant(f"{call.target}.scale", quantizer.scale.numpy())
        zero = self.builder.constant(
            f"{call.target}.zero_point", np.asarray(int(quantizer.zero_point), codes)
        )
        quantized = self.builder.node("QuantizeLinear", [value, scale, zero], f"{name}.codes")
        if bounds is not None and bounds != (np.iinfo(codes).min, np.iinfo(codes).max):
            # QuantizeLinear has no bounds of its own; on codes a Clip leaves the layer an integer.
            ends = [
                self.builder.constant(f"{codes.__name__}.{bound}", np.asarray(bound, codes))
                for bound in bounds
            ]
            quantized = self.builder.node("Clip", [quantized, *ends], f"{name}.clipped")
        return self.builder.node("DequantizeLinear", [quantized, scale, zero], name), quantized

    def _layer(self, node: fx.Node, layer: WeightedLayer | QuantizedLayer | StoredLayer) -> str:
        form, picks = layer.form, self.builder.dialect.picked and picks_pixels(layer)
        inputs = [self._picked(node, form.geometry["stride"]) if picks else self.input(node)]
        if isinstance(layer, QuantizedLayer):
            if (written := self._in_fast_form(node, layer)) is not None:
                return written
            zero = zero_code(layer, self.builder.dialect.kernels)
            inputs += integer_parameters(self.builder, node.name, layer, zero=zero)
        elif isinstance(layer, StoredLayer):
            inputs += stored_parameters(self.builder, node.name, layer)
        else:
            inputs += float_parameters(self.builder, node.name, layer, self.half)
        if form.kind == "linear":
            if len(node.meta["shape"]) == 2:
                return self.builder.node("Gemm", inputs, node.name, transB=1)
            return self._matmul(node.name, inputs)
        operator = "Conv" if form.kind == "conv2d" else "ConvTranspose"
        attributes = attributes_of(self.module, node, form)
        if picks:
            attributes["strides"] = [1, 1]
        return self.builder.node(operator, inputs, node.name, **attributes)

    def _in_fast_form(self, node: fx.Node, layer: QuantizedLayer) -> str | None:
        """The result of a layer that the runtime is faster with in another form than its own."""
        if self.builder.dialect.kernels == PLAIN:
            return None
        source = node.all_input_nodes[0]
        if pads_convolution(self.module, source):
            source = source.all_input_nodes[0]
        if source.name in self.codes and is_shallow(layer.form, layer.weight_codes.shape):
            return self._overlaid(node, layer, source)
        count = count_parts(layer, math.prod(node.meta["shape"][2:]))
        after = quantizer_after(self.module, node)
        if count == 1 or after is None or zero_code(layer, self.builder.dialect.kernels):
            return None
        return self._in_parts(node, layer, after, count)

    def _in_parts(self, node: fx.Node, layer: QuantizedLayer, after: fx.Node, count: int) -> str:
        """A convolution of many weights; its parts are rounded as the quantizer after it does."""
        names = self.parts[node.name] = names_of_parts(node.name, count)
        attributes, value = attributes_of(self.module, node, layer.form), self.input(node)
        results = []
        for name, given in zip(
            names, part_parameters(self.builder, node.name, layer, names), strict=True
        ):
            part = self.builder.node("Conv", [value, *given], name, **attributes)
            results.append(self._pair(f"{name}.rounded", part, after)[0])
        return self.builder.node("Concat", results, node.name, axis=1)

    def _overlaid(self, node: fx.Node, layer: QuantizedLayer, source: fx.Node) -> str:
        """A convolution of few input channels, its kernel's rows laid over each other."""
        attributes = attributes_of(self.module, node, layer.form)
        shape, height = layer.weight_codes.shape, node.meta["shape"][2]
        overlay = Overlay(self.builder, node.name, shape, height, attributes)
        scale, zero = (f"{source.target}.{role}" for role in ("scale", "zero_point"))
        rows = [overlay.codes(self.codes[source.name], zero), scale, zero]
        if max(len(source.users), len(node.all_input_nodes[0].users)) == 1:
            self.builder.drop(self.input(node))  # no one else reads the floats of the image
        inputs = [
            self.builder.node("DequantizeLinear", rows, f"{node.name}.rows"),
            *integer_parameters(self.builder, node.name, layer, overlay.weight),
        ]
        return self.builder.node("Conv", inputs, node.name, **overlay.one_row())

    def _dynamic(self, node: fx.Node, layer: DynamicLayer) -> str:
        convolves = layer.form.kind == "conv2d"
        attributes = attributes_of(self.module, node, layer.form) if convolves else {}
        written = write_dynamic(self, node, layer, attributes, self.dynamic.values())
        self.layers[node.name], self.dynamic[node.name] = node.name, written
        return written.result

    def _matmul(self, name: str, inputs: Sequence[str]) -> str:
        turned = self.builder.node("Transpose", [inputs[1]], f"{name}.turned", perm=[1, 0])
        if len(inputs) == 2:
            return self.builder.node("MatMul", [inputs[0], turned], name)
        product = self.builder.node("MatMul", [inputs[0], turned], f"{name}.product")
        return self.builder.node("Add", [product, inputs[2]], name)

    def _outputs(self) -> None:
        nodes = output_nodes(self.module)
        for node, name in zip(nodes, output_names(len(nodes)), strict=True):
            self.builder.node("Identity", [self.names[node]], name)
            self.outputs[name] = node.meta["shape"]
