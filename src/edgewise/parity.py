"""The same images through the network, its simulation and the artifact, compared pair by pair."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgewise.data.dataset import Labels, Split
from edgewise.errors import ModelError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.tasks.classification import Estimate, accuracy, paired_difference

Classes = NDArray[np.int64]

_BATCH = 100


@dataclass(frozen=True)
class Predictions:
    """Classes that the three executors give the same images, int64 (images,).

    network: the user's float network; simulation: the compressed network in PyTorch;
    artifact: the file in its runtime on the device.
    """

    network: Classes
    simulation: Classes
    artifact: Classes


@dataclass(frozen=True)
class Parity:
    """One variant's accuracy by each executor (None without labels), and how far they agree.

    difference: artifact less the baseline's artifact, paired over images; agreements: share of
    images that get the same class.
    """

    name: str
    network: Estimate | None
    simulation: Estimate | None
    artifact: Estimate | None
    difference: Estimate | None
    agreement_with_simulation: float
    agreement_with_float: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@torch.no_grad()
def predict(network: Network, split: Split, progress: Progress, stage: str) -> Classes:
    """The class that a network gives every image; raises DataError or ModelError for NaN."""
    parts, done = [], 0
    for batch in split.batches(_BATCH, network.contract):
        outputs = network(torch.from_numpy(batch)).numpy()
        if not np.isfinite(outputs).all():
            raise ModelError(
                f"the network's output for an image from {done} on in {split.name} is not finite; "
                "it overflows on these data."
            )
        parts.append(classes_of(outputs))
        done += len(batch)
        progress(stage, done, len(split))
    return np.concatenate(parts)


def classes_of(outputs: NDArray[np.float32]) -> Classes:
    """The class of each image: where its flattened outputs are largest."""
    classes: Classes = outputs.reshape(len(outputs), -1).argmax(axis=1).astype(np.int64)
    return classes


def compare(name: str, ours: Predictions, baseline: Predictions, labels: Labels | None) -> Parity:
    """Parity of one variant against the baseline on the same images."""
    estimate: Callable[[Classes], Estimate | None] = (
        (lambda classes: None) if labels is None else (lambda classes: accuracy(classes == labels))
    )
    difference = None
    if labels is not None:
        difference = paired_difference(ours.artifact == labels, baseline.artifact == labels)
    return Parity(
        name=name,
        network=estimate(ours.network),
        simulation=estimate(ours.simulation),
        artifact=estimate(ours.artifact),
        difference=difference,
        agreement_with_simulation=float((ours.artifact == ours.simulation).mean()),
        agreement_with_float=float((ours.artifact == ours.network).mean()),
    )
