"""Where a training takes its batches from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.data.dataset import Split
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import UsageError
from edgewise.training.augment import augment
from edgewise.training.schedule import Schedule


class Feed(ABC):
    """Training images and what is to be learned of them."""

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def batch(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The images of these indices, augmented by draws of the generator, and their targets."""


@dataclass(frozen=True, eq=False)
class LabelledFeed(Feed):
    """Images and labels that are held in memory, as the network takes them."""

    images: Tensor
    labels: Tensor
    schedule: Schedule

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return augment(self.images[chosen], self.schedule, generator), self.labels[chosen]


def labelled_feed(
    split: Split, contract: Preprocessing, schedule: Schedule, device: torch.device
) -> LabelledFeed:
    """The whole split on the device; raises UsageError where it has no labels."""
    if split.labels is None:
        raise UsageError(f"training needs labels and split '{split.name}' has none.")
    batches = [torch.from_numpy(batch) for batch in split.batches(4096, contract)]
    images = torch.cat(batches).to(device, memory_format=torch.channels_last)
    return LabelledFeed(images, torch.from_numpy(split.labels).to(device), schedule)
