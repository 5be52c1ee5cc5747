"""The detector of the study: trained from scratch, loaded, and trained on with quantizers."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise.data.dataset import Dataset, Split
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.weights import apply_weights, load_weights, save_weights
from edgewise.progress import Progress
from edgewise.quant.scheme import Scheme
from edgewise.steps.material import Material
from edgewise.steps.qat import Qat
from edgewise.studies.yolov3.scales import Scale
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.suppression import Suppression
from edgewise.training.detecting import DETECTOR_SCHEDULE, Detected, detector_goal, detector_options
from edgewise.training.loop import Run, train
from edgewise.training.schedule import Curves, Schedule

MODEL = "yolov3"
SUPPRESSION = Suppression()
_LEARNED = replace(DETECTOR_SCHEDULE, warmup=0.1, ema=0.99, weight_decay=1e-4)
# By bits of weights and activations: the top learning rate, and the share of what the float network
# sees in the loss. The nearer to float, the less there is to learn.
_GENTLE = {(8, 8): (1e-4, 1.0), (4, 8): (5e-4, 0.5), (4, 4): (1e-3, 0.5)}


@dataclass(frozen=True)
class Job:
    """What all cells of a seed share; threads: of the processor."""

    data: Dataset
    scale: Scale
    seed: int
    threads: int

    @cached_property
    def options(self) -> dict[str, Any]:
        """Of the network; its anchors are those of the training images."""
        chosen = detector_options(self.data, BUILT_IN[MODEL].maps)
        return {"width": self.scale.width, "repeats": list(self.scale.repeats), **chosen}

    @property
    def train(self) -> Split:
        return self.data.split("train").head(self.scale.images)

    @property
    def calibration(self) -> Split:
        return self.data.split("calibration").head(self.scale.calibration)

    @property
    def test(self) -> Split:
        return self.data.split("test").head(self.scale.tested)

    def settings(self, **more: Any) -> dict[str, Any]:
        """What decides a cell's result, as JSON."""
        scale = self.scale
        shared = {"model": MODEL, "width": scale.width, "repeats": scale.repeats, "seed": self.seed}
        images = {"images": scale.images, "tested": scale.tested, "data": self.data.name}
        return {**shared, **images, **more}

    def start(self) -> None:
        """Threads and seed of this process."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)


def float_schedule(epochs: int) -> Schedule:
    """Of training from scratch."""
    return replace(DETECTOR_SCHEDULE, epochs=epochs)


def learned_schedule(scheme: Scheme, epochs: int) -> Schedule:
    """Of training with quantizers."""
    peak, distill = _GENTLE[scheme.weight_bits, scheme.activation_bits]
    return replace(_LEARNED, epochs=epochs, peak_lr=peak, distill=distill)


def decoder_of(network: Network) -> Decoder:
    """The decoder that the detectors of this study declare."""
    assert network.decoder is not None, "a built-in detector declares one"
    return Decoder.from_json(network.decoder)


def train_float(
    job: Job, epochs: int, checkpoint: Path, progress: Progress
) -> tuple[nn.Module, Curves]:
    """The float detector, from scratch."""
    run = Run(
        train=job.train,
        validation=job.data.split("validation"),
        contract=job.data.contract,
        schedule=float_schedule(epochs),
        seed=job.seed,
        checkpoint=checkpoint,
        objective=detector_goal(job.data, job.options),
    )
    return train(build(MODEL, job.options), run, progress)


def save_half(module: nn.Module, path: Path, job: Job) -> None:
    """Kernels in half precision; `module` too holds the rounded values: what is scored is kept."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())
    origin = {"name": MODEL, "options": job.options}
    save_weights(module, path, origin, job.data.contract, half=True)


def load_float(job: Job, path: Path) -> Network:
    """The detector with kept weights; raises ModelError where they are of another network."""
    module = build(MODEL, job.options)
    apply_weights(module, load_weights(path), path)
    return capture(module, job.data.contract, MODEL)


def learn(
    job: Job, network: Network, step: Qat, folder: Path, progress: Progress
) -> tuple[Network, Curves]:
    """The detector trained on with quantizers, ready to be written; folder: of checkpoints."""
    material = Material(
        train=job.train,
        validation=job.data.split("validation"),
        calibration=job.calibration,
        seed=job.seed,
        folder=folder,
        objective=Detected(decoder_of(network), unmirrored=job.data.unmirrored),
    )
    trained = step.train(network, material, progress)
    return trained.frozen(), trained.curves
