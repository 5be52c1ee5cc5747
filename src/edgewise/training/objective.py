"""What a network is trained for: the loss of a batch, and the score after an epoch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from edgewise.data.dataset import Split
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError
from edgewise.tasks.classification import Classification
from edgewise.tasks.distillation import distillation
from edgewise.tasks.reconstruction import Reconstruction, signal_to_noise
from edgewise.training.evaluate import evaluate
from edgewise.training.feed import Feed, labelled_feed
from edgewise.training.schedule import Schedule

_BATCH = 500


class Objective(ABC):
    """A loss to follow and a score to watch, higher being better.

    gradient_limit: the longest that a step's gradient may be, None is any.
    """

    gradient_limit: ClassVar[float | None] = None

    @abstractmethod
    def loss(self, outputs: Any, labels: Tensor, images: Tensor) -> Tensor:
        """Of a batch; images are the network's inputs."""

    def imitation(self, outputs: Any, theirs: Any, temperature: float) -> Tensor:
        """How far a network is from a teacher's outputs for the same images."""
        return distillation(outputs, theirs, temperature)

    def feed(
        self, split: Split, contract: Preprocessing, schedule: Schedule, device: torch.device
    ) -> Feed:
        """What is trained on; raises UsageError where the split does not say what to learn."""
        return labelled_feed(split, contract, schedule, device)

    def samples(
        self, split: Split, contract: Preprocessing, schedule: Schedule
    ) -> Iterator[Tensor]:
        """Batches that BatchNorm's statistics are taken from: images as they are."""
        for batch in split.batches(schedule.batch_size, contract):
            yield torch.from_numpy(batch)

    @abstractmethod
    def score(self, module: nn.Module, split: Split, contract: Preprocessing) -> float:
        """Of a network, in eval mode after the call."""

    @abstractmethod
    def refuse(self, outputs: Any, images: Tensor) -> None:
        """Raises ModelError for outputs of a shape that it cannot judge."""


@dataclass(frozen=True)
class Labelled(Objective):
    """Say each image's label; the score is accuracy. smoothing: of the labels."""

    smoothing: float = 0.0

    def loss(self, outputs: Any, labels: Tensor, images: Tensor) -> Tensor:
        return Classification(self.smoothing).loss(outputs, labels)

    def score(self, module: nn.Module, split: Split, contract: Preprocessing) -> float:
        return evaluate(module, split, contract)

    def refuse(self, outputs: Any, images: Tensor) -> None:
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:  # a label is one number
            raise ModelError(
                f"the network gives {_shapes(outputs)}; training by labels "
                "needs logits of shape (images, classes)."
            )


@dataclass(frozen=True)
class Reconstructed(Objective):
    """Give each image back; the score is the peak signal-to-noise ratio in dB."""

    contract: Preprocessing

    def loss(self, outputs: Any, labels: Tensor, images: Tensor) -> Tensor:
        return self._task.loss(outputs, images)

    @property
    def _task(self) -> Reconstruction:
        return Reconstruction(self.contract)

    @torch.no_grad()
    def score(self, module: nn.Module, split: Split, contract: Preprocessing) -> float:
        module.eval()
        device = next(module.parameters()).device
        total = 0.0
        for batch in split.batches(_BATCH, contract):
            images = torch.from_numpy(batch).to(device)
            total += float(self._task.loss(module(images), images)) * len(batch)
        return signal_to_noise(total / len(split))

    def refuse(self, outputs: Any, images: Tensor) -> None:
        if not isinstance(outputs, Tensor) or not _is_as_many(outputs, images):
            raise ModelError(
                f"the network gives {_shapes(outputs)} for images of shape "
                f"{tuple(images.shape)}; to be trained to give images back it has to give as many "
                "values as an image has."
            )


def _is_as_many(outputs: Tensor, images: Tensor) -> bool:
    return outputs.shape[:1] == images.shape[:1] and outputs.numel() == images.numel()


def _shapes(outputs: Any) -> str:
    if isinstance(outputs, Tensor):
        return f"outputs of shape {tuple(outputs.shape)}"
    return f"{len(outputs)} outputs"
