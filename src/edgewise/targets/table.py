"""Targets by name."""

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError, UsageError
from edgewise.targets.metadata import Texts, contract_in, decoder_in
from edgewise.targets.onnx.kernels import KERNELS as KERNELS
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.openvino.target import OpenVinoTarget
from edgewise.targets.target import ANY, Target
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.tasks.detection.decoder import Decoder
from edgewise.worker.job import WorkerError
from edgewise.worker.packed import SUFFIX, unpack

# Of those that write files of one suffix, the first reads them.
_ALL = (OnnxTarget, LiteRtTarget, OpenVinoTarget)
TARGETS: Mapping[str, type[Target]] = {kind.name: kind for kind in _ALL}


def target(name: str, kernels: str = ANY) -> Target:
    """The target of that name; raises UsageError when there is none, none for such kernels, or its
    runtime is absent.
    """
    if name not in TARGETS:
        raise UsageError(f"there is no target '{name}'; known: {', '.join(TARGETS)}.")
    kind = TARGETS[name]
    if kind.needs is not None and find_spec(kind.needs) is None:
        raise UsageError(
            f"target '{name}' checks every artifact in {kind.needs}, which is not installed; "
            f"install it as in `pip install 'edgewise[{kind.needs}]'`, or choose another target."
        )
    if kernels == ANY:
        return kind()
    if kind is not OnnxTarget:
        raise UsageError(
            f"target '{name}' has one form of weights, for any processor, and none for "
            f"'{kernels}'; choose --target {OnnxTarget.name}, or leave --kernels out."
        )
    return OnnxTarget(kernels)


def contract_of(artifact: Path) -> Preprocessing:
    """The preprocessing contract in an artifact, packed or not; raises ModelError where there is
    none, or the file is damaged.
    """
    return contract_in(_texts(artifact), artifact)


def decoder_of(artifact: Path) -> Decoder | None:
    """How the outputs of an artifact, packed or not, become objects; None where they are none.

    Raises ModelError where the file is damaged.
    """
    return decoder_in(_texts(artifact), artifact)


def _texts(artifact: Path) -> Texts:
    kind = target_of(artifact)
    if artifact.suffix != SUFFIX:
        return kind.texts(artifact)
    try:
        content = unpack(artifact.read_bytes())
    except (OSError, WorkerError) as error:
        raise ModelError(f"{artifact} cannot be read: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / f"model{kind.suffix}"
        plain.write_bytes(content)
        return kind.texts(plain)


def target_of(artifact: Path) -> Target:
    """The target that writes such files, packed or not; raises UsageError when none does."""
    name = artifact.name.removesuffix(SUFFIX)
    for kind in TARGETS.values():
        if name.endswith(kind.suffix):
            return kind()
    known = ", ".join(dict.fromkeys(kind.suffix for kind in TARGETS.values()))
    raise UsageError(f"{artifact} is no artifact by its name; known are {known}.")
