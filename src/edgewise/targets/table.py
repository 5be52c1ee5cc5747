"""Targets by name."""

from collections.abc import Mapping
from pathlib import Path

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


def target_of(artifact: Path) -> Target:
    """The target that writes such files; raises UsageError when none does."""
    for kind in TARGETS.values():
        if artifact.suffix == kind.suffix:
            return kind()
    known = ", ".join(kind.suffix for kind in TARGETS.values())
    raise UsageError(f"{artifact} is no artifact by its name; known are {known}.")
