"""The OpenVINO target: how its artifacts are written, checked and read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from edgewise.graph.network import Network
from edgewise.targets.metadata import Texts
from edgewise.targets.onnx.builder import Dialect
from edgewise.targets.onnx.inspect import inspect_artifact, read_texts
from edgewise.targets.onnx.kernels import PLAIN
from edgewise.targets.onnx.weights import stretches
from edgewise.targets.onnx.writer import write
from edgewise.targets.openvino import session
from edgewise.targets.openvino.audit import audit, find_operators, shown
from edgewise.targets.openvino.check import check_codes, check_output, check_shapes
from edgewise.targets.packing import Stretch
from edgewise.targets.target import ArtifactLayer, LayerCheck, Target, Verified

# It reads no narrower type of ONNX. Of two products that it compiles into one it forgets the scale
# of the first where that has no bias; strides of one pixel it moves up to where no codes are.
_DIALECT = Dialect(least_bits=4, apart=True, picked=True, kernels=PLAIN)


class OpenVinoTarget(Target):
    """ONNX for OpenVINO on CPUs: QDQ with symmetric activations and int8 per-channel weights."""

    name = "openvino"
    runtime = "openvino"
    profile = "openvino"
    suffix = ".onnx"
    needs = "openvino"

    def verified(self, network: Network, images: torch.Tensor) -> Verified:
        written = write(network, _DIALECT)
        seen = session.run(written.model, images.numpy())
        check_shapes(network, seen.outputs)
        checks: tuple[LayerCheck, ...] = ()
        free_running = 0
        if written.codes:
            checks, free_running = check_codes(network, written, images, seen.outputs)
        error = check_output(network, written, images, seen.outputs)
        executions = audit(network, written, seen.operators)
        content = written.model.SerializeToString(deterministic=True)
        return Verified(content, checks, free_running, error, executions)

    def inspect(self, path: Path) -> tuple[ArtifactLayer, ...]:
        layers = inspect_artifact(path)
        model = onnx.load(path)
        blank = np.zeros((1, *self.contract(path).shape), np.float32)
        operators = session.run(model, blank).operators
        found = find_operators(model.graph, [one.name for one in layers], operators)
        return tuple(replace(one, operator=shown(found[one.name])) for one in layers)

    def texts(self, path: Path) -> Texts:
        return read_texts(path)

    def stretches(self, content: bytes) -> tuple[Stretch, ...]:
        return stretches(content)
