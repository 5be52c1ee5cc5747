"""Brevitas, as a contender in training steps: its layers in place of torch's, learned scales.

Weights 8 bits per channel, the input and what ReLU gives 8 bits per tensor, BatchNorm as it is.
"""

import brevitas.nn as qnn
import torch
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Uint8ActPerTensorFloat,
)
from torch import nn

from benchmarks import qat_child


def make(given: qat_child.Material) -> nn.Module:
    module = qat_child.network()
    for name, part in list(module.named_modules()):
        if isinstance(part, nn.Conv2d | nn.Linear):
            module.set_submodule(name, _weighted(part))
        elif isinstance(part, nn.ReLU):
            module.set_submodule(name, qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat))
    whole = nn.Sequential(qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat), module).train()
    with torch.no_grad():
        whole(given.images)
    return whole


def _weighted(part: nn.Conv2d | nn.Linear) -> nn.Module:
    options = {"bias": part.bias is not None, "weight_quant": Int8WeightPerChannelFloat}
    made: nn.Module
    if isinstance(part, nn.Linear):
        made = qnn.QuantLinear(part.in_features, part.out_features, **options)
    else:
        channels = (part.in_channels, part.out_channels)
        made = qnn.QuantConv2d(*channels, part.kernel_size, padding=part.padding, **options)
    made.load_state_dict(part.state_dict(), strict=False)
    return made


if __name__ == "__main__":
    qat_child.serve(make)
