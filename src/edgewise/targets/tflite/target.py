"""The TFLite target: write, check, and only then put the file where it was asked for."""

from pathlib import Path

import torch

from edgewise import store
from edgewise.data.preprocess import Preprocessing
from edgewise.graph.network import Network
from edgewise.targets.packing import Stretch
from edgewise.targets.target import ArtifactLayer, Export, LayerCheck, Target
from edgewise.targets.tflite.audit import audit
from edgewise.targets.tflite.builder import serialize
from edgewise.targets.tflite.check import check_codes, check_dynamic, check_output
from edgewise.targets.tflite.inspect import inspect_artifact, read_contract
from edgewise.targets.tflite.weights import stretches
from edgewise.targets.tflite.writer import write


class LiteRtTarget(Target):
    """TFLite for LiteRT with XNNPACK: int8 activations and int8 per-channel weights."""

    name = "tflite"
    runtime = "litert"
    profile = "litert"
    suffix = ".tflite"

    def export(self, network: Network, path: Path, images: torch.Tensor) -> Export:
        written = write(network)
        content = serialize(written.model)
        checks: tuple[LayerCheck, ...] = ()
        free_running = 0
        if written.codes:
            checks, free_running = check_codes(network, written, images)
        check_dynamic(network, written, images)
        error = check_output(network, written, images)
        executions = audit(network, written, content)
        store.write_bytes(path, content)
        return Export(
            path=path,
            runtime=self.runtime,
            digest=store.digest(content),
            size_bytes=len(content),
            images=len(images),
            checks=checks,
            free_running=free_running,
            float_error=error,
            executions=executions,
        )

    def inspect(self, path: Path) -> tuple[ArtifactLayer, ...]:
        return inspect_artifact(path)

    def contract(self, path: Path) -> Preprocessing:
        return read_contract(path)

    def stretches(self, content: bytes) -> tuple[Stretch, ...]:
        return stretches(content)
