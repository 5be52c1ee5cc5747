"""Fold BatchNorm into the convolution before it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from edgewise.data.dataset import Split
from edgewise.graph.layer import WeightedLayer, as_depthwise
from edgewise.graph.network import Network, module_of
from edgewise.progress import Progress
from edgewise.steps.step import Step


@dataclass(frozen=True)
class Fold(Step):
    """Put every BatchNorm into weights: the same function, fewer operations.

    A BatchNorm that follows no convolution becomes a depthwise 1x1 convolution, which runtimes
    execute on integers (Jacob et al. 2018, section 3.2).
    """

    name: ClassVar[str] = "fold"

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        module = network.module
        for node in list(module.graph.nodes):
            target = module_of(module, node)
            if isinstance(target, WeightedLayer) and target.batch_norm is not None:
                weight, bias = target.folded()
                folded = WeightedLayer(
                    target.form, _fixed(weight), None if bias is None else _fixed(bias)
                )
                module.set_submodule(str(node.target), folded)
            elif isinstance(target, nn.BatchNorm2d):
                module.set_submodule(str(node.target), as_depthwise(target, str(node.meta["path"])))
        module.recompile()
        return network


def _fixed(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
