"""What an ONNX file is made of, and how ONNX Runtime would run it here."""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import DataError, ModelError
from edgewise.targets.onnx import session
from edgewise.targets.onnx.audit import find_operator
from edgewise.targets.onnx.writer import CONTRACT_KEY

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_MOVES = frozenset({"DequantizeLinear", "Cast", "Transpose"})


@dataclass(frozen=True)
class ArtifactLayer:
    """One weighted layer: the type its weights are stored in, and the operator that runs it."""

    name: str
    operator: str
    stored: str
    weights: int


def inspect_artifact(path: Path) -> tuple[ArtifactLayer, ...]:
    """The weighted layers of an ONNX file; raises ModelError when it is not one."""
    model = _load(path)
    with tempfile.TemporaryDirectory() as folder:
        executed = session.optimized(model, Path(folder)).graph
    return tuple(
        _layer(model.graph, node, find_operator(executed, node.name))
        for node in model.graph.node
        if node.op_type in _WEIGHTED
    )


def read_contract(path: Path) -> Preprocessing:
    """The preprocessing contract in an artifact; raises ModelError when it holds none."""
    stored = {entry.key: entry.value for entry in _load(path).metadata_props}
    try:
        return Preprocessing.from_json(json.loads(stored[CONTRACT_KEY]))
    except (KeyError, ValueError, DataError) as error:
        raise ModelError(
            f"{path} holds no preprocessing contract; only artifacts that edgewise wrote do."
        ) from error


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path} is not an ONNX model: {error}") from error
    return model


def _layer(graph: onnx.GraphProto, node: onnx.NodeProto, operator: str) -> ArtifactLayer:
    producers = {output: source for source in graph.node for output in source.output}
    stored = {init.name: init for init in graph.initializer}
    name = node.input[1]
    while name in producers and producers[name].op_type in _MOVES:
        name = producers[name].input[0]
    if name not in stored:
        return ArtifactLayer(node.name, operator, "computed", 0)
    kind = TensorProto.DataType.Name(stored[name].data_type).lower()
    return ArtifactLayer(node.name, operator, kind, math.prod(stored[name].dims))
