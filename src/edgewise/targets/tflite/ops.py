"""Every operation without weights that can be written."""

from collections.abc import Mapping

from torch import fx

from edgewise.targets.tflite.builder import Value
from edgewise.targets.tflite.compute import COMPUTE
from edgewise.targets.tflite.moves import MOVES
from edgewise.targets.tflite.writing import Write, Writing, unsupported

_WRITERS: Mapping[str, Write] = {**COMPUTE, **MOVES}


def emit(writing: Writing, node: fx.Node, kind: str) -> Value:
    """Write one node, in float or moving codes; raises UnsupportedOpError without a form."""
    if kind not in _WRITERS:
        raise unsupported(node, f"({kind})")
    return _WRITERS[kind](writing, node)
