"""BatchNorm's statistics of weights as they ended."""

import torch
from torch import nn

from edgewise.graph.averaging import averaging
from edgewise.training.loop import Run


@torch.no_grad()
def reestimate(module: nn.Module, run: Run, batches: int = 100) -> None:
    """Set BatchNorm's statistics to those of the weights as they are now, over `batches` batches.

    Averaged weights have other statistics than the average of the statistics, and weights that jump
    between two codes have neither (Nagel et al. 2022, section 4.1).
    """
    device = next(module.parameters()).device
    seen = run.train.head(batches * run.schedule.batch_size)
    module.train()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    with averaging(module) as wanted:
        for batch in run.goal.samples(seen, run.contract, run.schedule) if wanted else ():
            module(batch.to(device, memory_format=torch.channels_last))
    module.eval()
