"""The ONNX target: how its artifacts are written, checked and read."""

import tempfile
from pathlib import Path

import torch

from edgewise.errors import UsageError
from edgewise.graph.network import Network
from edgewise.targets.metadata import Texts
from edgewise.targets.onnx import session
from edgewise.targets.onnx.audit import audit
from edgewise.targets.onnx.boundaries import find_boundaries
from edgewise.targets.onnx.builder import Dialect
from edgewise.targets.onnx.check import check_codes, check_output
from edgewise.targets.onnx.check_dynamic import check_dynamic
from edgewise.targets.onnx.inspect import inspect_artifact, read_texts
from edgewise.targets.onnx.kernels import KERNELS
from edgewise.targets.onnx.weights import stretches
from edgewise.targets.onnx.writer import write
from edgewise.targets.packing import Stretch
from edgewise.targets.target import ANY, ArtifactLayer, LayerCheck, Target, Verified


class OnnxTarget(Target):
    """ONNX for ONNX Runtime: QDQ with uint8 activations and int8 per-channel weights."""

    name = "onnx"
    runtime = "onnxruntime"
    profile = "onnxruntime"
    suffix = ".onnx"

    def __init__(self, kernels: str = ANY) -> None:
        """kernels: see KERNELS; raises UsageError for others."""
        if kernels not in KERNELS:
            raise UsageError(f"there are no kernels '{kernels}'; known: {', '.join(KERNELS)}.")
        self.kernels = kernels

    def verified(self, network: Network, images: torch.Tensor) -> Verified:
        written = write(network, Dialect(kernels=self.kernels))
        checks: tuple[LayerCheck, ...] = ()
        free_running = 0
        if written.codes:
            checks, free_running = check_codes(network, written, images)
        elif written.dynamic:
            checks = check_dynamic(network, written, images)
        error = check_output(network, written, images)
        with tempfile.TemporaryDirectory() as folder:
            optimized = session.optimized(written.model, Path(folder))
        executions = audit(network, written, optimized.graph)
        boundaries = find_boundaries(network, written, optimized)
        content = written.model.SerializeToString(deterministic=True)
        return Verified(content, checks, free_running, error, executions, boundaries)

    def inspect(self, path: Path) -> tuple[ArtifactLayer, ...]:
        return inspect_artifact(path)

    def texts(self, path: Path) -> Texts:
        return read_texts(path)

    def stretches(self, content: bytes) -> tuple[Stretch, ...]:
        return stretches(content)
