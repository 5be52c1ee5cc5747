"""Collects the parts of a TFLite model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewise.errors import ExportError
from edgewise.targets.tflite.versions import Operand, find_version

INPUT = "input"
IDENTIFIER = b"TFL3"
_SCHEMA = 3
_LARGEST = 2**31 - 1  # bytes that flatbuffer offsets reach
_ALIGNMENT = 16  # of weights, as the schema asks for
_LAST_OLD_CODE = 127  # what operators above it are called in the field of old readers

TYPES: Mapping[np.dtype[Any], int] = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}


@dataclass(frozen=True)
class Steps:
    """What codes stand for: scales, one or one per channel of an axis, and one zero point."""

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Value:
    """A tensor of the model: where it is, its shape for one image, and of codes their meaning."""

    index: int
    shape: tuple[int, ...]
    steps: Steps | None = None


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """Bytes that begin where a runtime may read them without a copy."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
        if self.data is None:
            return super().Pack(builder)
        builder.StartVector(1, len(self.data), _ALIGNMENT)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class Builder:
    """Tensors, constants and operators, in the order they were added."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = _SCHEMA
        self._model.description = "edgewise"
        self._model.operatorCodes = []
        self._model.metadata = []
        self._model.buffers = [_Buffer()]  # the first is empty: of all that is computed
        self._graph = schema.SubGraphT()
        self._graph.name = "edgewise"
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]
        self._codes: dict[tuple[str, int], int] = {}
        self._constants: dict[str, Value] = {}
        self._names: set[str] = set()

    def constant(
        self, name: str, values: NDArray[Any] | np.generic, steps: Steps | None = None
    ) -> Value:
        """A tensor in the file; the same name means the same values, and is stored once."""
        array = np.asarray(values, order="C")
        return self.packed(name, array.shape, array, TYPES[array.dtype], steps)

    def packed(
        self,
        name: str,
        shape: Sequence[int],
        content: NDArray[Any] | np.generic,
        kind: int,
        steps: Steps | None,
    ) -> Value:
        """A constant of a type that numpy does not have; content: its bytes."""
        if name not in self._constants:
            buffer = _Buffer()
            buffer.data = np.frombuffer(content.tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            place = len(self._model.buffers) - 1
            self._constants[name] = self._tensor(name, shape, kind, steps, place)
        return self._constants[name]

    def computed(self, name: str, shape: Sequence[int], steps: Steps | None = None) -> Value:
        """A tensor of any number of images, float32 or int8 codes; its first axis counts them."""
        kind = schema.TensorType.FLOAT32 if steps is None else schema.TensorType.INT8
        value = self._tensor(name, shape, kind, steps, 0)
        self._graph.tensors[value.index].shapeSignature = [-1, *shape[1:]]
        return value

    def widened(self, name: str, shape: Sequence[int]) -> Value:
        """A float tensor that is made of a constant, once, when the model loads."""
        return self._tensor(name, shape, schema.TensorType.FLOAT32, None, 0)

    def operator(
        self, name: str, inputs: Sequence[Value], output: Value, options: Any = None
    ) -> Value:
        """An operator with one output, stamped with its version; returns the output."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(name, self._version(name, inputs, options))
        made.inputs = [value.index for value in inputs]
        made.outputs = [output.index]
        if options is not None:
            made.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self._graph.operators.append(made)
        return output

    def renamed(self, value: Value, name: str) -> Value:
        """The same tensor under another name."""
        self._graph.tensors[value.index].name = name
        return value

    def model(
        self, given: Value, results: Sequence[Value], metadata: Mapping[str, Any]
    ) -> schema.ModelT:
        """The whole model."""
        self._graph.inputs = [given.index]
        self._graph.outputs = [result.index for result in results]
        for key, entry in metadata.items():
            buffer, stored = _Buffer(), schema.MetadataT()
            buffer.data = np.frombuffer(json.dumps(entry, sort_keys=True).encode(), np.uint8)
            self._model.buffers.append(buffer)
            stored.name, stored.buffer = key, len(self._model.buffers) - 1
            self._model.metadata.append(stored)
        return self._model

    def _tensor(
        self, name: str, shape: Sequence[int], kind: int, steps: Steps | None, buffer: int
    ) -> Value:
        assert name not in self._names, f"{name} is written twice"
        self._names.add(name)
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name, kind, buffer
        tensor.shape = [int(size) for size in shape]
        if steps is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(steps.scale, np.float32)
            zeros = np.full(len(steps.scale), steps.zero_point, np.int64)
            tensor.quantization.zeroPoint = zeros
            tensor.quantization.quantizedDimension = steps.axis
        self._graph.tensors.append(tensor)
        return Value(len(self._graph.tensors) - 1, tuple(tensor.shape), steps)

    def _version(self, name: str, inputs: Sequence[Value], settings: Any) -> int:
        found = []
        for value in inputs:
            tensor, steps = self._graph.tensors[value.index], value.steps
            scales = 0 if steps is None else len(steps.scale)
            last = tensor.shape[-1] if tensor.shape else 0
            found.append(Operand(tensor.type, len(tensor.shape), scales, last))
        return find_version(name, found, settings)

    def _code(self, name: str, version: int) -> int:
        if (name, version) not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, _LAST_OLD_CODE)
            code.version = version
            self._model.operatorCodes.append(code)
            self._codes[name, version] = len(self._model.operatorCodes) - 1
        return self._codes[name, version]


def serialize(model: schema.ModelT) -> bytes:
    """The file's content; raises ExportError where it would be above 2 GB."""
    size = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    if size > _LARGEST - 2**20:  # what describes them is small beside the weights
        raise ExportError("the model is above 2 GB, which one TFLite file cannot hold.")
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def options(kind: str, **settings: Any) -> Any:
    """The settings of an operator by the schema's name, as in `Conv2D`."""
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in settings.items():
        assert hasattr(made, name), f"{kind} has no {name}"
        setattr(made, name, value)
    return made
