"""Accuracy of a network while it is being trained."""

import torch
from torch import nn

from edgewise.data.dataset import Split
from edgewise.data.preprocess import Preprocessing
from edgewise.tasks.classification import Classification

_EVALUATION_BATCH = 500


@torch.no_grad()
def evaluate(module: nn.Module, split: Split, contract: Preprocessing) -> float:
    """Share of a labelled split that `module` classifies right, in float32."""
    assert split.labels is not None, "a split without labels has no accuracy"
    module.eval()
    device = next(module.parameters()).device
    hits, start = 0, 0
    for batch in split.batches(_EVALUATION_BATCH, contract):
        images = torch.from_numpy(batch).to(device, memory_format=torch.channels_last)
        labels = torch.from_numpy(split.labels[start : start + len(batch)]).to(device)
        hits += int(Classification().correct(module(images), labels).sum())
        start += len(batch)
    return hits / len(split)
