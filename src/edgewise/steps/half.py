"""Store weights in half precision."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from edgewise.data.dataset import Split
from edgewise.errors import ModelError
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.steps.step import Step


@dataclass(frozen=True)
class Half(Step):
    """Round weights to float16: half the file; the runtime widens them once, when it loads.

    Arithmetic stays float32, which is what processors without float16 arithmetic do anyway.
    Raises ModelError when a weight is larger than float16 can hold.
    """

    name: ClassVar[str] = "half"

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        for node, layer in list(network.layers()):
            weight, bias = layer.folded()
            rounded = [_round(tensor, layer.form.path) for tensor in (weight, bias)]
            assert rounded[0] is not None
            network.module.set_submodule(
                str(node.target), WeightedLayer(layer.form, rounded[0], rounded[1])
            )
        network.module.recompile()
        return replace(network, half=True)


def _round(tensor: torch.Tensor | None, path: str) -> nn.Parameter | None:
    if tensor is None:
        return None
    narrow = tensor.half()
    if not bool(torch.isfinite(narrow).all()):
        raise ModelError(
            f"'{path}' holds weights above 65504, the largest float16; it cannot be stored so."
        )
    return nn.Parameter(narrow.float(), requires_grad=False)
