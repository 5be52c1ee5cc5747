"""Training images with the objects in them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise.data.dataset import Images, Split
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import UsageError
from edgewise.training.augment_objects import ObjectAugmentation, augment_objects, targets_of
from edgewise.training.feed import Feed

_CELL = 32  # sides of the network's input are multiples of it


@dataclass(frozen=True, eq=False)
class ObjectFeed(Feed):
    """Images that are read when they are asked for; targets (n, most, 6) of them all.

    scales: of the input's sides, one drawn for every batch; none is its own size.
    """

    images: Images
    contract: Preprocessing
    targets: Tensor
    augmentation: ObjectAugmentation
    scales: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        stored = np.concatenate([self.images.read(at, at + 1) for at in chosen.tolist()])
        pixels = torch.from_numpy(self.contract.apply(stored)).to(chosen.device)
        targets = self.targets[chosen]
        images, targets = augment_objects(pixels, targets, self.augmentation, generator)
        if not self.scales:
            return images, targets
        drawn = int(torch.randint(len(self.scales), (), generator=generator))
        return _resized(images, targets, self.scales[drawn])


def object_feed(
    split: Split,
    contract: Preprocessing,
    unmirrored: tuple[int, ...],
    scales: tuple[float, ...],
    device: torch.device,
) -> ObjectFeed:
    """The split's images, augmented within what pixels can be.

    unmirrored: classes that a mirror changes. Raises UsageError where nobody looked for objects.
    """
    if split.objects is None:
        raise UsageError(f"training needs boxes and split '{split.name}' has none.")
    mean, std = np.asarray(contract.mean), np.asarray(contract.std)
    low, high = float((-mean / std).min()), float(((1 - mean) / std).max())
    how = ObjectAugmentation(low=low, high=high, unmirrored=unmirrored)
    targets = targets_of(split.objects).to(device)
    return ObjectFeed(split.images, contract, targets, how, scales)


def _resized(images: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Images of other sides, and what is in them."""
    height, width = (max(_CELL, round(side * scale / _CELL) * _CELL) for side in images.shape[2:])
    if (height, width) == tuple(images.shape[2:]):
        return images, targets
    down, along = height / images.shape[2], width / images.shape[3]
    moved = targets.clone()
    moved[..., 1:5] *= torch.tensor([along, down, along, down], device=targets.device)
    images = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last), moved
