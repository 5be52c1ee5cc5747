"""Targets by name."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError, UsageError
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Target
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.worker.job import WorkerError
from edgewise.worker.packed import SUFFIX, unpack

TARGETS: Mapping[str, type[Target]] = {kind.name: kind for kind in (OnnxTarget, LiteRtTarget)}


def target(name: str) -> Target:
    """The target of that name; raises UsageError when there is none."""
    if name not in TARGETS:
        raise UsageError(f"there is no target '{name}'; known: {', '.join(TARGETS)}.")
    return TARGETS[name]()


def contract_of(artifact: Path) -> Preprocessing:
    """The preprocessing contract in an artifact, packed or not; raises ModelError where there is
    none, or the file is damaged.
    """
    kind = target_of(artifact)
    if artifact.suffix != SUFFIX:
        return kind.contract(artifact)
    try:
        content = unpack(artifact.read_bytes())
    except (OSError, WorkerError) as error:
        raise ModelError(f"{artifact} cannot be read: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / f"model{kind.suffix}"
        plain.write_bytes(content)
        return kind.contract(plain)


def target_of(artifact: Path) -> Target:
    """The target that writes such files, packed or not; raises UsageError when none does."""
    name = artifact.name.removesuffix(SUFFIX)
    for kind in TARGETS.values():
        if name.endswith(kind.suffix):
            return kind()
    known = ", ".join(kind.suffix for kind in TARGETS.values())
    raise UsageError(f"{artifact} is no artifact by its name; known are {known}.")
