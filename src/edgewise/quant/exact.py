"""Exact sums of integer products on the fast float32 kernels.

A float32 sum of integers is exact in whatever order while the magnitudes add up to less than 2^24.
Where a layer's weights allow more than that, they are split into a coarse and a fine part, each of
which stays below; where even those do not, float64 computes.
"""

import torch
from torch import Tensor

from edgewise.graph.layer import Form
from edgewise.quant.fake import QuantizedLayer

_EXACT = 2**24
_COARSE = 16


@torch.no_grad()
def exact_sums(layer: QuantizedLayer, codes: Tensor) -> Tensor:
    """The int32 accumulator for input codes less their zero point, as integers in a float tensor,
    float32 where that holds them.

    codes: float32 integers in the layer's input shape.
    """
    sums, reach = _products(layer.form, layer.weight_codes.float(), codes)
    return sums if layer.bias_codes is None else _with_bias(layer, sums, reach)


@torch.no_grad()
def exact_products(form: Form, weight_codes: Tensor, codes: Tensor) -> Tensor:
    """The same of weights without a bias."""
    return _products(form, weight_codes.float(), codes)[0]


def _products(form: Form, weights: Tensor, codes: Tensor) -> tuple[Tensor, float]:
    """The sums, and a bound of their magnitudes."""
    largest = float(codes.abs().amax()) if codes.numel() else 0.0
    reach = _bound(form, weights) * largest
    if reach < _EXACT:
        return _run(form, codes, weights), reach
    coarse = torch.round(weights / _COARSE)
    fine = weights - coarse * _COARSE
    if max(_bound(form, coarse), _bound(form, fine)) * largest >= _EXACT:
        return form.run(codes.double(), weights.double(), None), reach
    return _run(form, codes, coarse).double() * _COARSE + _run(form, codes, fine), reach


def _with_bias(layer: QuantizedLayer, sums: Tensor, reach: float) -> Tensor:
    assert layer.bias_codes is not None
    shape = [1] * sums.ndim
    shape[-1 if layer.form.kind == "linear" else 1] = -1
    bias = layer.bias_codes.view(shape)
    if reach + float(bias.abs().amax()) < _EXACT:
        return sums + bias
    return sums.double() + bias.double()


def _bound(form: Form, weights: Tensor) -> float:
    """The largest sum of a channel's weight magnitudes."""
    return float(weights.abs().movedim(form.out_axis, 0).flatten(1).sum(1).amax())


def _run(form: Form, codes: Tensor, weights: Tensor) -> Tensor:
    # NNPACK would transform inputs (Winograd), which is not a sum of these products.
    with torch.backends.nnpack.flags(enabled=False):
        return form.run(codes, weights, None)
