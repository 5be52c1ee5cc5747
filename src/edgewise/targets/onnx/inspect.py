"""What an ONNX file is made of, and how ONNX Runtime would run it here."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from edgewise.errors import ModelError
from edgewise.quant.scheme import WIDTHS
from edgewise.targets.onnx import session
from edgewise.targets.onnx.audit import find_ends, find_operator
from edgewise.targets.onnx.parts import layer_of
from edgewise.targets.target import ArtifactLayer

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger"})
_MOVES = frozenset({"DequantizeLinear", "Cast", "Mul", "Transpose", "Reshape", "Pad", "Split"})


def inspect_artifact(path: Path) -> tuple[ArtifactLayer, ...]:
    """The weighted layers of an ONNX file; raises ModelError when it is not one."""
    model = _load(path)
    with tempfile.TemporaryDirectory() as folder:
        executed = session.optimized(model, Path(folder)).graph
    parts = _Parts.of(model.graph)
    weighted = (node for node in model.graph.node if node.op_type in _WEIGHTED)
    layers = [node for node in weighted if layer_of(node.name) is not None]
    ends = find_ends(model.graph, {node.output[0] for node in layers})
    return tuple(
        _layer(parts, node, find_operator(executed, node.name, ends.get(node.output[0])))
        for node in layers
    )


def read_texts(path: Path) -> dict[str, str]:
    """The texts that are stored in an ONNX file by name; raises ModelError when it is not one."""
    return {entry.key: entry.value for entry in _load(path).metadata_props}


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path} is not an ONNX model: {error}") from error
    return model


@dataclass(frozen=True)
class _Parts:
    """What a graph is made of, by name; clipped: scale -> highest code that it is used with."""

    producers: Mapping[str, onnx.NodeProto]
    stored: Mapping[str, onnx.TensorProto]
    clipped: Mapping[str, int]

    @staticmethod
    def of(graph: onnx.GraphProto) -> "_Parts":
        producers = {output: source for source in graph.node for output in source.output}
        stored = {init.name: init for init in graph.initializer}
        clipped: dict[str, int] = {}
        for node in graph.node:
            source = producers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
            if source is not None and source.op_type == "Clip" and len(source.input) == 3:
                high = stored.get(source.input[2])
                if high is not None and not high.dims:
                    code = int(numpy_helper.to_array(high))
                    clipped[node.input[1]] = max(code, clipped.get(node.input[1], 0))
        return _Parts(producers, stored, clipped)


def _layer(parts: _Parts, node: onnx.NodeProto, operator: str) -> ArtifactLayer:
    layer, activations = layer_of(node.name) or node.name, _activations(parts, node.input[0])
    name = node.input[1]
    while name in parts.producers and parts.producers[name].op_type in _MOVES:
        name = parts.producers[name].input[0]
    if name not in parts.stored:
        return ArtifactLayer(layer, operator, "computed", 0, 0, activations)
    weight = parts.stored[name]
    size = len(weight.raw_data) or weight.ByteSize()
    return ArtifactLayer(layer, operator, _type(weight), math.prod(weight.dims), size, activations)


def _activations(parts: _Parts, name: str) -> str:
    """The type of the codes that a tensor stands for; `float` where it is not dequantized."""
    source = parts.producers.get(name)
    if source is not None and source.op_type == "DynamicQuantizeLinear":
        return "uint8"
    if source is None or source.op_type != "DequantizeLinear":
        return "float"
    zero = parts.stored.get(source.input[2]) if len(source.input) > 2 else None
    kind = "uint8" if zero is None else _type(zero)
    if kind != "uint8" or source.input[1] not in parts.clipped:
        return kind
    # Codes that were only moved since are not clipped again, and keep their scale.
    highest = parts.clipped[source.input[1]]
    bits = next((bits for bits in WIDTHS if highest < 2**bits), max(WIDTHS))
    return f"uint{bits}"


def _type(tensor: onnx.TensorProto) -> str:
    return str(TensorProto.DataType.Name(tensor.data_type)).lower()
