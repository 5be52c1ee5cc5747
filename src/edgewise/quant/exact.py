"""Exact sums of integer products on the fast float32 kernels.

A float32 sum of integers is exact in whatever order while the magnitudes add up to less than 2^24.
Where a layer's weights allow more than that, they are split into a coarse and a fine part, each of
which stays below; where even those do not, float64 computes.
"""

import torch
from torch import Tensor

from edgewise.quant.fake import QuantizedLayer

_EXACT = 2**24
_COARSE = 16


@torch.no_grad()
def exact_sums(layer: QuantizedLayer, codes: Tensor) -> Tensor:
    """The int32 accumulator for input codes less their zero point, as integers in a float tensor,
    float32 where that holds them.

    codes: float32 integers in the layer's input shape.
    """
    weights = layer.weight_codes.float()
    largest = float(codes.abs().amax()) if codes.numel() else 0.0
    reach = _bound(layer, weights) * largest
    if reach < _EXACT:
        return _with_bias(layer, _run(layer, codes, weights), reach)
    coarse = torch.round(weights / _COARSE)
    fine = weights - coarse * _COARSE
    if max(_bound(layer, coarse), _bound(layer, fine)) * largest >= _EXACT:
        return layer.accumulate(codes)
    sums = _run(layer, codes, coarse).double() * _COARSE + _run(layer, codes, fine)
    return _with_bias(layer, sums, reach)


def _with_bias(layer: QuantizedLayer, sums: Tensor, reach: float) -> Tensor:
    if layer.bias_codes is None:
        return sums
    shape = [1] * sums.ndim
    shape[-1 if layer.form.kind == "linear" else 1] = -1
    bias = layer.bias_codes.view(shape)
    if reach + float(bias.abs().amax()) < _EXACT:
        return sums + bias
    return sums.double() + bias.double()


def _bound(layer: QuantizedLayer, weights: Tensor) -> float:
    """The largest sum of a channel's weight magnitudes."""
    return float(weights.abs().movedim(layer.form.out_axis, 0).flatten(1).sum(1).amax())


def _run(layer: QuantizedLayer, codes: Tensor, weights: Tensor) -> Tensor:
    # NNPACK would transform inputs (Winograd), which is not a sum of these products.
    with torch.backends.nnpack.flags(enabled=False):
        return layer.form.run(codes, weights, None)
