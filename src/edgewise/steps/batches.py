"""Images of a split as a step goes through them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.data.dataset import Split
from edgewise.graph.network import Network
from edgewise.progress import Progress


def batches_of(
    split: Split, network: Network, size: int, progress: Progress, stage: str
) -> Iterator[Tensor]:
    """The network's inputs, `size` images at a time; each batch is reported once it is done with.

    Raises DataError for images that are not finite.
    """
    done = 0
    for batch in split.batches(size, network.contract):
        yield torch.from_numpy(batch)
        done += len(batch)
        progress(stage, done, len(split))
