"""Every operation without weights that can be written."""

from collections.abc import Mapping

from torch import fx

from edgewise.targets.onnx.compute import COMPUTE
from edgewise.targets.onnx.moves import MOVES
from edgewise.targets.onnx.writing import Write, Writing, unsupported

_WRITERS: Mapping[str, Write] = {**COMPUTE, **MOVES}


def emit(writing: Writing, node: fx.Node, kind: str) -> str:
    """Write one node; raises UnsupportedOpError when there is no form for it."""
    if kind not in _WRITERS:
        raise unsupported(node, f"({kind})")
    return _WRITERS[kind](writing, node)
