"""Walks a network's graph and writes the ONNX model that its quantizers describe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from torch import fx, nn

from edgewise.graph.layer import Form, WeightedLayer
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
from edgewise.quant.integer import CLIPS, clip_bounds, code_bounds
from edgewise.quant.placement import PASS
from edgewise.quant.stored import StoredLayer
from edgewise.targets.calls import zeros_around
from edgewise.targets.metadata import metadata_of
from edgewise.targets.onnx.builder import INPUT, Builder, Dialect
from edgewise.targets.onnx.dynamic import DynamicTensors, write_dynamic
from edgewise.targets.onnx.ops import emit
from edgewise.targets.onnx.parameters import (
    float_parameters,
    integer_parameters,
    stored_parameters,
)
from edgewise.targets.onnx.writing import Writing, unsupported

_LAYERS = (WeightedLayer, QuantizedLayer, StoredLayer)
_BOUNDS = frozenset({*CLIPS, "clamp", "clamp_min", "clamp_max"})  # written as Relu or Clip


@dataclass(frozen=True)
class Written:
    """A model, and where its codes and layers are.

    codes: quantizer node of the graph -> tensor of codes in the model;
    layers: weighted node of the graph -> node of the model;
    dynamic: weighted node whose input is quantized as it comes -> tensors of the model.
    """

    model: onnx.ModelProto
    codes: Mapping[str, str]
    layers: Mapping[str, str]
    dynamic: Mapping[str, DynamicTensors] = field(default_factory=dict)

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
    model = writer.builder.model(
        network.contract.shape, writer.outputs, metadata_of(network), batch
    )
    return Written(model, writer.codes, writer.layers, writer.dynamic)


class _Writer(Writing):
    def __init__(self, network: Network, builder: Builder) -> None:
        super().__init__(network.module, builder, {})
        self.half = network.half
        self.codes: dict[str, str] = {}
        self.layers: dict[str, str] = {}
        self.dynamic: dict[str, DynamicTensors] = {}
        self.outputs: dict[str, tuple[int | None, ...]] = {}

    def visit(self, node: fx.Node) -> None:
        target = module_of(self.module, node)
        kind = operation(self.module, node)
        if kind == "input":
            self.names[node] = INPUT
        elif kind == "output":
            self._outputs()
        elif isinstance(target, FakeQuantize):
            pair = self._pair(node.name, self.input(node), node, self._code_bounds(node))
            self.names[node], self.codes[node.name] = pair
        elif isinstance(target, _LAYERS):
            layer = self.layers[node.name] = self._layer(node, target)
            if isinstance(target, QuantizedLayer):
                taken = self._is_kept_apart(node, target)
            else:
                taken = self._stands_between_codes(node)
            self.names[node] = self._kept_float(layer) if taken else layer
        elif isinstance(target, DynamicLayer):
            self.names[node] = self._dynamic(node, target)
        elif kind == "constant":
            pass  # whoever reads it writes it
        elif node.meta.get("floating") or kind in ("chunk", "split", "split_with_sizes"):
            self._operation(node, kind)

    def _operation(self, node: fx.Node, kind: str) -> None:
        if self._clips_codes(node, kind) or self._pads_convolution(node, kind):
            self.names[node] = self.input(node)
            return
        self.names[node] = emit(self, node, kind)
        moved = kind in PASS and self.names[node] == self.name(node)  # not where it wrote nothing
        source = find_source(self.module, node) if moved else None
        if source is not None:
            # The same parameters again: the runtime then moves codes and not floats.
            self.names[node], _ = self._pair(f"{node.name}_again", self.names[node], source)

    def _clips_codes(self, node: fx.Node, kind: str) -> bool:
        """Whether an activation, or one of several in a row, is left to the quantizer after it,
        which clips codes anyway.

        Not where codes come in: between two quantizers the runtime wants an operation.
        """
        if kind not in CLIPS or len(node.users) != 1 or find_source(self.module, node) is not None:
            return False
        (reader,) = node.users
        quantizes = isinstance(module_of(self.module, reader), FakeQuantize)
        return quantizes or self._clips_codes(reader, operation(self.module, reader))

    def _pads_convolution(self, node: fx.Node, kind: str) -> bool:
        """Whether a pad is left to the only reader, a convolution, which pads anyway."""
        if kind not in ("pad", "constant_pad_nd") or len(node.users) != 1:
            return False
        before, after = zeros_around(node, unsupported)
        layer = module_of(self.module, next(iter(node.users)))
        if not isinstance(layer, _LAYERS) or layer.form.kind != "conv2d":
            return False
        return before[:2] == after[:2] == [0, 0] and min(*before, *after) >= 0

    def _stands_between_codes(self, node: fx.Node) -> bool:
        """Whether a layer reads codes, and a quantizer follows it, at once or past clips.

        Not a MatMul, whose weights the runtime leaves alone.
        """
        is_matmul = operation(self.module, node) == "linear" and len(node.meta["shape"]) != 2
        if is_matmul or find_source(self.module, node) is None:
            return False
        while len(node.users) == 1:
            (node,) = node.users
            if isinstance(module_of(self.module, node), FakeQuantize):
                return True
            if operation(self.module, node) not in _BOUNDS:
                return False
        return False

    def _is_kept_apart(self, node: fx.Node, layer: QuantizedLayer) -> bool:
        """Whether a layer is an integer matrix product that must not be joined to another."""
        is_bare_product = layer.form.kind == "linear" and layer.bias_codes is None
        return self.builder.dialect.apart and is_bare_product and len(node.meta["shape"]) == 2

    def _picks_pixels(self, layer: nn.Module) -> bool:
        """Whether an integer convolution of one pixel is given those that its stride would pick."""
        if not isinstance(layer, QuantizedLayer) or layer.form.kind != "conv2d":
            return False
        geometry = layer.form.geometry
        one_pixel = tuple(layer.weight_codes.shape[2:]) == (1, 1) and not any(geometry["padding"])
        return self.builder.dialect.picked and one_pixel and max(geometry["stride"]) > 1

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

    def _attributes(self, node: fx.Node, form: Form) -> dict[str, Any]:
        geometry = form.geometry
        pads = [*geometry["padding"], *geometry["padding"]]
        source = node.all_input_nodes[0]
        if self._pads_convolution(source, operation(self.module, source)):
            before, after = zeros_around(source, unsupported)
            extra = [*before[2:], *after[2:]]
            pads = [one + other for one, other in zip(pads, extra, strict=True)]
        attributes = {
            "strides": list(geometry["stride"]),
            "pads": pads,
            "dilations": list(geometry["dilation"]),
            "group": int(geometry["groups"]),
        }
        if form.kind == "conv_transpose2d":
            attributes["output_padding"] = list(geometry["output_padding"])
        return attributes

    def _code_bounds(self, call: fx.Node) -> tuple[int, int]:
        """The lowest and the highest code after a quantizer and the activations left to it."""
        quantizer = module_of(self.module, call)
        assert isinstance(quantizer, FakeQuantize)
        clips = []
        producer = call.all_input_nodes[0]
        while self._clips_codes(producer, kind := operation(self.module, producer)):
            clips.append(clip_bounds(producer, kind))
            producer = producer.all_input_nodes[0]
        return code_bounds(quantizer, clips[::-1])

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
        form, picks = layer.form, self._picks_pixels(layer)
        inputs = [self._picked(node, form.geometry["stride"]) if picks else self.input(node)]
        if isinstance(layer, QuantizedLayer):
            inputs += integer_parameters(self.builder, node.name, layer)
        elif isinstance(layer, StoredLayer):
            inputs += stored_parameters(self.builder, node.name, layer)
        else:
            inputs += float_parameters(self.builder, node.name, layer, self.half)
        if form.kind == "linear":
            if len(node.meta["shape"]) == 2:
                return self.builder.node("Gemm", inputs, node.name, transB=1)
            return self._matmul(node.name, inputs)
        operator = "Conv" if form.kind == "conv2d" else "ConvTranspose"
        attributes = self._attributes(node, form)
        if picks:
            attributes["strides"] = [1, 1]
        return self.builder.node(operator, inputs, node.name, **attributes)

    def _dynamic(self, node: fx.Node, layer: DynamicLayer) -> str:
        attributes = self._attributes(node, layer.form) if layer.form.kind == "conv2d" else {}
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
