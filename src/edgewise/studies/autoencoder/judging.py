"""How a network of the study is judged: from its artifact, by LiteRT and by SVMs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise.data.dataset import Dataset, Split
from edgewise.devices.device import Device
from edgewise.devices.local import LocalDevice
from edgewise.graph.network import Network
from edgewise.inference import run_artifact
from edgewise.presets import FLOAT32, FP16, INT8_DYNAMIC
from edgewise.progress import Progress
from edgewise.recipe import Recipe
from edgewise.studies.autoencoder.svm import Floats, Labels, Machine
from edgewise.targets.packing import storage
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.targets.tflite.weights import stretches
from edgewise.tasks.reconstruction import signal_to_noise

PRECISIONS: Mapping[str, Recipe] = {"FP32": FLOAT32, "FP16": FP16, "INT8": INT8_DYNAMIC}
_CHECKED = 32  # images that an artifact is verified on


@dataclass(frozen=True)
class Answers:
    """What an artifact gives back for the images that SVMs are fitted on, and for the test images;
    facts: of the artifact."""

    fitted: Floats
    test: Floats
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Bar:
    """What SVMs are fitted on and judged by; folder: of artifacts."""

    data: Dataset
    fitted: Split
    folder: Path

    @property
    def labels(self) -> Labels:
        assert self.fitted.labels is not None
        return self.fitted.labels

    def answers(self, network: Network, precision: str, progress: Progress) -> Answers:
        """Write the network at a precision, and run it over all images."""
        contract = self.data.contract
        calibration, test = self.data.split("calibration"), self.data.split("test")
        path = self.folder / f"{precision}.tflite"
        batch = torch.from_numpy(next(calibration.batches(_CHECKED, contract)))
        made = PRECISIONS[precision].apply(network, calibration, progress)
        export = made.export(LiteRtTarget(), path, batch)
        with LocalDevice() as device:
            fitted = self._run(device, path, self.fitted, progress)
            tested = self._run(device, path, test, progress)
        content = path.read_bytes()
        pixels = np.concatenate([batch for batch in test.batches(1000, contract)])
        pixels = pixels * np.float32(contract.std[0]) + np.float32(contract.mean[0])
        error = float(np.square(pixels.reshape(tested.shape) - tested).mean())
        facts = {
            "size_bytes": export.size_bytes,
            "packed_bytes": storage(content, stretches(content)).packed,
            "digest": export.digest,
            "psnr_db": signal_to_noise(error),
        }
        return Answers(fitted, tested, facts)

    def _run(self, device: Device, path: Path, split: Split, progress: Progress) -> Floats:
        contract, runtime = self.data.contract, LiteRtTarget.runtime
        return np.asarray(run_artifact(device, path, split, contract, progress, runtime))

    def judge(self, answers: Answers) -> Machine:
        """The SVM fitted on these answers."""
        return Machine(answers.fitted, self.labels)

    def row(self, answers: Answers, refitted: Machine, fixed: Machine) -> dict[str, Any]:
        """Facts, and accuracies by the SVM of these answers and by that of the dense network."""
        labels = self.data.split("test").labels
        assert labels is not None
        own = refitted.accuracy(answers.test, labels)
        theirs = own if fixed is refitted else fixed.accuracy(answers.test, labels)
        return {**answers.facts, "refitted": own, "fixed": theirs}
