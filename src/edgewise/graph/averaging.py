"""BatchNorm's statistics as the plain average of what a network sees."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def averaging(module: nn.Module) -> Iterator[bool]:
    """Within, every BatchNorm forgets its statistics and averages those of the batches that run;
    gives whether there is any.

    Its buffers are new ones, since networks share those of the layers they have in common.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        for name, buffer in list(norm.named_buffers()):
            setattr(norm, name, buffer.clone())
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
        norm.train()
    try:
        yield bool(norms)
    finally:
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)
