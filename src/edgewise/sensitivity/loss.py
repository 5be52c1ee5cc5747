"""What a network's outputs cost, image by image, in nats."""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise.data.dataset import Labels
from edgewise.errors import DataError, ModelError

CROSS_ENTROPY, DIVERGENCE = "cross-entropy", "divergence from the float network"


def kind_of(labels: Labels | None) -> str:
    """Cross-entropy against labels; where there are none, divergence from the float network."""
    return DIVERGENCE if labels is None else CROSS_ENTROPY


def losses(outputs: Tensor, floats: Tensor, labels: Tensor | None) -> Tensor:
    """Loss of every image, float64 (n,), for outputs (n, ...) that are scores of classes.

    With labels (n,) cross-entropy, else the Kullback-Leibler divergence of the answer from that of
    the float network, whose outputs are `floats`. Raises DataError for labels beyond the classes,
    ModelError for outputs that are not finite.
    """
    scores = outputs.flatten(1).double()
    if not bool(torch.isfinite(scores).all()):
        raise ModelError("the network's output is not finite for an image; it overflows there.")
    if labels is None:
        truth = F.log_softmax(floats.flatten(1).double(), dim=1)
        ours = F.log_softmax(scores, dim=1)
        return F.kl_div(ours, truth, reduction="none", log_target=True).sum(1)
    if int(labels.max()) >= scores.shape[1] or int(labels.min()) < 0:
        raise DataError(
            f"labels go from {int(labels.min())} to {int(labels.max())} and the network gives "
            f"{scores.shape[1]} scores an image; use data whose classes are the network's."
        )
    return F.cross_entropy(scores, labels, reduction="none")


def classes(outputs: Tensor) -> Tensor:
    """The class of each image, int64 (n,): where its flattened outputs are largest."""
    return outputs.flatten(1).argmax(1)
