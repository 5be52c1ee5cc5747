"""Empirical bias correction: the shift that quantization adds to a channel's mean, taken back.

Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
section 4.2.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from edgewise.graph.layer import Form
from edgewise.quant.fake import BIAS_LIMIT, QuantizedLayer


def channel_means(form: Form, outputs: Iterable[Tensor]) -> Tensor:
    """Mean of a layer's output over images and positions, float64 (output channels,)."""
    axis = -1 if form.kind == "linear" else 1
    total, count = torch.zeros((), dtype=torch.float64), 0
    for output in outputs:
        values = output.movedim(axis, 0).flatten(1)
        total = total + values.double().sum(1)
        count += values.shape[1]
    return total / count


def corrected_bias(layer: QuantizedLayer, shift: Tensor) -> Tensor:
    """Bias codes, int32, that take a shift (output channels,) off the layer's output, to half a
    step of its accumulator.
    """
    before = torch.zeros_like(shift) if layer.bias_codes is None else layer.bias_codes.double()
    codes = torch.round(before - shift / layer.step.double())
    return torch.clamp(codes, 1 - BIAS_LIMIT, BIAS_LIMIT - 1).to(torch.int32)
