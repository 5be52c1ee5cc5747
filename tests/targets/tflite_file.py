"""The operators of a TFLite file, as the schema alone reads them."""

from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}


@dataclass(frozen=True)
class Operator:
    """An operator of a TFLite file: its name, its version, and its tensors' names."""

    name: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def operators(path: Path) -> list[Operator]:
    """The operators of a file in the order they run."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(path.read_bytes()), 0)
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    codes = model.operatorCodes
    return [
        Operator(
            NAMES[codes[one.opcodeIndex].builtinCode],
            codes[one.opcodeIndex].version,
            tuple(names[index] for index in one.inputs),
            tuple(names[index] for index in one.outputs),
        )
        for one in graph.operators
    ]
