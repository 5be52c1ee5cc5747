"""Images to judge by: spread evenly over a split, in batches that fit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewise.data.dataset import Images, Split
from edgewise.data.preprocess import Stored
from edgewise.graph.cost import activation_count
from edgewise.graph.network import Network

_VALUES = 1 << 24  # of all tensors of a batch together
_MOST = 32  # images at a time: the processor's caches hold no more


@dataclass(frozen=True)
class SpreadImages:
    """`count` images at even distances: a split may be sorted by class."""

    images: Images
    count: int

    def __len__(self) -> int:
        return self.count

    def read(self, start: int, stop: int) -> Stored:
        whole = len(self.images)
        chosen = (place * whole // self.count for place in range(start, min(stop, self.count)))
        return np.concatenate([self.images.read(one, one + 1) for one in chosen])


def spread(split: Split, count: int) -> Split:
    """At most `count` images of a split, evenly spaced, labelled as such in the digest."""
    if count >= len(split):
        return split
    places = np.arange(count) * len(split) // count
    labels = None if split.labels is None else split.labels[places]
    digest = f"{split.digest}[{count} spread]"
    return Split(split.name, SpreadImages(split.images, count), labels, digest)


def batch_size(network: Network) -> int:
    """How many images fit in memory at a time."""
    return int(min(_MOST, max(1, _VALUES // activation_count(network))))


def batches(split: Split, network: Network) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Network inputs and labels; raises DataError for images that are not finite."""
    start, size = 0, batch_size(network)
    for batch in split.batches(size, network.contract):
        stop = start + len(batch)
        labels = None if split.labels is None else torch.from_numpy(split.labels[start:stop])
        yield torch.from_numpy(batch), labels
        start = stop
