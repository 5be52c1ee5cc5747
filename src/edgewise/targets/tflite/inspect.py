"""What a TFLite file is made of, and how LiteRT would run it here."""

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgewise.errors import ExportError, ModelError
from edgewise.targets.target import ArtifactLayer
from edgewise.targets.tflite import session
from edgewise.targets.tflite.pooling import ONES
from edgewise.worker import tflite
from edgewise.worker.job import WorkerError

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_NAMES: dict[int, str] = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()
}
_TYPES: dict[int, str] = {
    value: name for name, value in vars(schema.TensorType).items() if name.isupper()
}


def inspect_artifact(path: Path) -> tuple[ArtifactLayer, ...]:
    """The weighted layers of a TFLite file; raises ModelError when it is not one."""
    content, model = _load(path)
    try:
        fast = session.delegated(content)
    except ExportError as error:
        raise ModelError(f"LiteRT cannot load {path}: {error}") from error
    return tuple(_layers(model, fast))


def read_texts(path: Path) -> dict[str, str]:
    """The texts that are stored in a TFLite file by name; raises ModelError when it is not one."""
    _, model = _load(path)
    found = {}
    for entry in model.metadata or ():
        # Others store what is no text, or an index of nothing.
        with suppress(IndexError, TypeError, ValueError):
            found[_text(entry.name)] = bytes(model.buffers[entry.buffer].data).decode()
    return found


def _load(path: Path) -> tuple[bytes, Any]:
    try:
        content = path.read_bytes()
        tflite.check(content)
        return content, schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except WorkerError as error:
        raise ModelError(f"{path} is not a TFLite model: {error}") from error
    except (struct.error, ValueError, TypeError, IndexError, OverflowError) as error:
        raise ModelError(f"{path} is not a TFLite model: it is damaged: {error}.") from error


def _layers(model: Any, fast: frozenset[int]) -> Iterator[ArtifactLayer]:
    graph = model.subgraphs[0]
    producers = {int(output): one for one in graph.operators for output in one.outputs}
    for operator in graph.operators:
        name = _name(model, operator)
        if name not in _WEIGHTED or len(operator.inputs) < 2:
            continue
        index = int(operator.inputs[1])
        while index in producers and _name(model, producers[index]) == "DEQUANTIZE":
            index = int(producers[index].inputs[0])
        if _text(graph.tensors[index].name).endswith(ONES):
            continue  # a mean, and no layer
        weight, source = graph.tensors[index], graph.tensors[int(operator.inputs[0])]
        floats = schema.TensorType.FLOAT32
        dynamic = source.type == floats != graph.tensors[int(operator.inputs[1])].type
        operation = f"dynamic {name}" if dynamic else name
        is_fast = {index, int(operator.inputs[1])} & fast
        data = model.buffers[weight.buffer].data
        yield ArtifactLayer(
            name=_text(weight.name).removesuffix(".float16").removesuffix(".weight"),
            operator=operation if is_fast else f"{operation} without XNNPACK",
            stored=_type(weight) if weight.buffer else "computed",
            weights=math.prod(int(size) for size in weight.shape) if weight.buffer else 0,
            size_bytes=0 if data is None else len(data),
            activations="int8" if dynamic else "float" if source.type == floats else _type(source),
        )


def _name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _NAMES.get(number, f"operator {number}")


def _type(tensor: Any) -> str:
    return _TYPES.get(tensor.type, f"type {tensor.type}").lower()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
