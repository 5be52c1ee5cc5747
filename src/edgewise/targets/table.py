"""Targets by name."""

from collections.abc import Mapping

from edgewise.errors import UsageError
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Target
from edgewise.targets.tflite.target import LiteRtTarget

TARGETS: Mapping[str, type[Target]] = {kind.name: kind for kind in (OnnxTarget, LiteRtTarget)}


def target(name: str) -> Target:
    """The target of that name; raises UsageError when there is none."""
    if name not in TARGETS:
        raise UsageError(f"there is no target '{name}'; known: {', '.join(TARGETS)}.")
    return TARGETS[name]()
