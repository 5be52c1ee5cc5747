"""The TFLite target: how its artifacts are written, checked and read."""

from pathlib import Path

import torch

from edgewise.graph.network import Network
from edgewise.targets.metadata import Texts
from edgewise.targets.packing import Stretch
from edgewise.targets.target import ArtifactLayer, LayerCheck, Target, Verified
from edgewise.targets.tflite.audit import audit
from edgewise.targets.tflite.builder import serialize
from edgewise.targets.tflite.check import check_codes, check_dynamic, check_output
from edgewise.targets.tflite.inspect import inspect_artifact, read_texts
from edgewise.targets.tflite.weights import stretches
from edgewise.targets.tflite.writer import write


class LiteRtTarget(Target):
    """TFLite for LiteRT with XNNPACK: int8 activations and int8 per-channel weights."""

    name = "tflite"
    runtime = "litert"
    profile = "litert"
    suffix = ".tflite"

    def verified(self, network: Network, images: torch.Tensor) -> Verified:
        written = write(network)
        content = serialize(written.model)
        checks: tuple[LayerCheck, ...] = ()
        free_running = 0
        if written.codes:
            checks, free_running = check_codes(network, written, images)
        check_dynamic(network, written, images)
        error = check_output(network, written, images)
        executions = audit(network, written, content)
        return Verified(content, checks, free_running, error, executions)

    def inspect(self, path: Path) -> tuple[ArtifactLayer, ...]:
        return inspect_artifact(path)

    def texts(self, path: Path) -> Texts:
        return read_texts(path)

    def stretches(self, content: bytes) -> tuple[Stretch, ...]:
        return stretches(content)
