"""The trainings of the study: float networks, and quantization-aware ones that start from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgewise.data.dataset import Dataset, Split
from edgewise.devices.local import LocalDevice
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.inference import run_artifact
from edgewise.models.builtin import build
from edgewise.models.weights import apply_weights, load_weights, save_weights
from edgewise.parity import classes_of, predict
from edgewise.progress import Progress
from edgewise.steps.fold import Fold
from edgewise.steps.material import Material
from edgewise.steps.qat import Qat
from edgewise.study import Bench
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Export
from edgewise.tasks.classification import accuracy
from edgewise.training.loop import Run, train
from edgewise.training.schedule import Schedule

_CHECKED = 32  # images that an artifact is verified on
_MODEL = "vgg16"


@dataclass(frozen=True)
class Job:
    """What every training of one seed shares; threads: of the processor."""

    data: Dataset
    width: float
    seed: int
    images: int | None
    threads: int

    @property
    def train(self) -> Split:
        return self.data.split("train").head(self.images)

    def settings(self, **more: Any) -> dict[str, Any]:
        """What decides a cell's result, as JSON."""
        shared = {"model": _MODEL, "width": self.width, "seed": self.seed, "images": self.images}
        return {**shared, "data": self.data.name, **more}

    def options(self, batch_norm: bool) -> dict[str, Any]:
        return {"width": self.width, "batch_norm": batch_norm, "classes": len(self.data.classes)}


def train_float(job: Job, batch_norm: bool, schedule: Schedule, bench: Bench) -> Any:
    """Train from scratch; the weights are kept in half precision and scored as kept."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    module = build(_MODEL, job.options(batch_norm))
    run = Run(
        train=job.train,
        validation=job.data.split("validation"),
        contract=job.data.contract,
        schedule=schedule,
        seed=job.seed,
        checkpoint=bench.scratch / "float.checkpoint",
    )
    trained, curves = train(module, run, bench.progress)
    assert bench.keeps is not None, "every other cell starts from it"
    _save_half(trained, bench.keeps, job, batch_norm)
    correct = _correct(capture(trained, job.data.contract, _MODEL), job, bench.progress)
    return {**_scores(correct), "threads": job.threads, "curves": asdict(curves)}


def train_quantized(
    job: Job, batch_norm: bool, fused: bool, step: Qat, names: tuple[str, str], bench: Bench
) -> Any:
    """Train with quantizers. names: of the cells of its teacher and of its start.

    fused: BatchNorm is folded before training and is gone while it lasts.
    """
    teacher, start = names
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    module, network = load_network(bench.weights[start], job, batch_norm)
    material = Material(
        train=job.train,
        validation=job.data.split("validation"),
        calibration=job.data.split("calibration"),
        seed=job.seed,
        folder=bench.scratch,
        teacher=load_network(bench.weights[teacher], job, batch_norm)[1].module.eval(),
    )
    given = Fold().apply(network.copy(), None, bench.progress) if fused else network
    trained = step.train(given, material, bench.progress)
    written = step.placement == "target"
    scored = trained.frozen() if written else trained.learned
    correct = _correct(scored, job, bench.progress)
    scores = _scores(correct)
    result = {**scores, "threads": job.threads, "curves": asdict(trained.curves)}
    if written:
        result["artifact"] = _artifact(scored, correct, job, bench)
    if bench.keeps is not None:
        network.module.load_state_dict(trained.latent.module.state_dict())
        _save_half(module, bench.keeps, job, batch_norm)
    return result


def load_network(path: Path, job: Job, batch_norm: bool) -> tuple[nn.Module, Network]:
    """The module with kept weights, and its graph, which shares them.

    Raises ModelError where they are of another network.
    """
    module = build(_MODEL, job.options(batch_norm))
    apply_weights(module, load_weights(path), path)
    return module, capture(module, job.data.contract, _MODEL)


def _save_half(module: nn.Module, path: Path, job: Job, batch_norm: bool) -> None:
    """Matrices in half precision, so that the next stage can start elsewhere; `module` too holds
    the rounded values afterwards: what is scored is what is kept.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())
    model = {"name": _MODEL, "options": job.options(batch_norm)}
    save_weights(module, path, model, job.data.contract, half=True)


def _correct(network: Network, job: Job, progress: Progress) -> Any:
    test = job.data.split("test")
    assert test.labels is not None
    return predict(network, test, progress, "score on the test images") == test.labels


def _scores(correct: Any) -> dict[str, Any]:
    estimate = accuracy(correct)
    return {"test_accuracy": estimate.value, "test_interval": [estimate.low, estimate.high],
            "test_images": len(correct)}  # fmt: skip


def _artifact(network: Network, simulated: Any, job: Job, bench: Bench) -> dict[str, Any]:
    """The artifact's verification, its own accuracy, and how often it agrees with simulation."""
    path = bench.scratch / "model.onnx"
    test = job.data.split("test")
    batch = next(job.data.split("calibration").batches(_CHECKED, job.data.contract))
    export = OnnxTarget().export(network, path, torch.from_numpy(batch))
    with LocalDevice() as device:
        outputs = run_artifact(device, path, test, job.data.contract, bench.progress)
    assert test.labels is not None
    correct = classes_of(outputs) == test.labels
    return {**_facts(export), "test_accuracy": float(np.mean(correct)),
            "same_verdict": float(np.mean(correct == simulated))}  # fmt: skip


def _facts(export: Export) -> Mapping[str, Any]:
    return {
        "size_bytes": export.size_bytes,
        "digest": export.digest,
        "worst_code": export.worst,
        "free_running_code": export.free_running,
        "integer_mac_share": export.integer_share,
    }
