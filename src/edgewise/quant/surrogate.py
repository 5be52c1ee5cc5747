"""Rounding with a gradient: what learned quantizers compute while they are trained.

Forward: y = s * clamp(round(x / s), low, high). Backward, with "inside" where x / s lies between
low - 1/2 and high + 1/2 (straight through, Bengio et al. 2013):

    dy/dx = 1 inside, 0 outside
    dy/ds = round(x / s) - x / s inside, low or high outside      (LSQ, Esser et al. 2020, eq. 3)
    dy/ds = 0 inside, low or high outside                         (PACT, Choi et al. 2018, eq. 3)

Both sums over x need no table of cases: with g the incoming and h = g * dy/dx the outgoing
gradient, LSQ's is (g.y - h.x) / s and PACT's (g.y - h.y) / s. A zero point z, in codes, moves the
bounds to low - z and high - z; its gradient is -s * (sum g - sum h) (LSQ+, Bhalgat et al. 2020).
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

Bounds = tuple[float, float]

# Values that all passes are made over before the next ones are touched: what a core's cache holds.
# Each pass over whole tensors would go through memory, and be several times slower.
_PIECE = 1 << 17


def round_activation(
    values: Tensor, scale: Tensor, zero: Tensor, bounds: Bounds, learns_rounding: bool = True
) -> Tensor:
    """Values on the grid of a scalar scale, in their own precision; zero: a code, float scalar.

    bounds: lowest and highest code; learns_rounding: LSQ's gradient of the scale, else PACT's.
    """
    result = _Activation.apply(values, scale, zero, bounds, learns_rounding)  # type: ignore[no-untyped-call]
    return cast(Tensor, result)


def round_weight(weight: Tensor, scale: Tensor, bounds: Bounds, learns_rounding: bool) -> Tensor:
    """Weights on the grid of scales that broadcast against them, of as many dimensions.

    Under autocast they come in its precision. A negative scale mirrors the grid.
    """
    result = _Weight.apply(weight, scale, bounds, learns_rounding)  # type: ignore[no-untyped-call]
    return cast(Tensor, result)


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """The same values, their gradient times a factor (LSQ, section 2.2)."""
    result = _ScaleGradient.apply(values, factor)  # type: ignore[no-untyped-call]
    return cast(Tensor, result)


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, scale: Tensor, zero: Tensor, bounds: Bounds, rounding: bool
    ) -> Tensor:
        step, moved = float(scale), float(torch.round(zero))
        low, high = bounds[0] - moved, bounds[1] - moved
        values = values if _dense(values) else values.contiguous()
        result = torch.empty_like(values)
        for given, rounded in _pieces(values, result):
            torch.div(given, step, out=rounded).round_().clamp_(low, high).mul_(step)
        ctx.save_for_backward(values, result)
        ctx.settings = (step, low, high, rounding, scale.shape, zero.shape)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        values, result = ctx.saved_tensors
        step, low, high, rounding, scale_shape, zero_shape = ctx.settings
        if gradient.stride() != values.stride():
            gradient = torch.empty_like(values).copy_(gradient)
        passed, ends = torch.empty_like(values), ((low - 0.5) * step, (high + 0.5) * step)
        of_scale = of_zero = torch.zeros((), device=values.device)
        for given, rounded, coming, inside in _pieces(values, result, gradient, passed):
            torch.ops.aten.hardtanh_backward.grad_input(coming, given, *ends, grad_input=inside)
            if ctx.needs_input_grad[1]:
                other = _dot(inside, given if rounding else rounded)
                of_scale = of_scale + (_dot(coming, rounded) - other)
            if ctx.needs_input_grad[2]:
                outside = coming.sum(dtype=torch.float32) - inside.sum(dtype=torch.float32)
                of_zero = of_zero + outside
        wanted = ctx.needs_input_grad
        return (
            passed,
            (of_scale / step).reshape(scale_shape) if wanted[1] else None,
            (-step * of_zero).reshape(zero_shape) if wanted[2] else None,
            None,
            None,
        )


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Sum of products, float32: bfloat16 sums would lose what the difference is about."""
    return torch.dot(one.float(), other.float())


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Dense tensors of equal strides, flat and piece by piece: see _PIECE."""
    size = _PIECE if tensors[0].device.type == "cpu" else max(1, tensors[0].numel())
    flat = (torch.split(t.as_strided((t.numel(),), (1,)), size) for t in tensors)
    return zip(*flat, strict=True)


def _dense(tensor: Tensor) -> bool:
    return torch.ops.aten.is_non_overlapping_and_dense(tensor)  # type: ignore[no-any-return]


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, bounds: Bounds, rounding: bool) -> Tensor:
        result = torch.empty_like(weight, dtype=_computed_in(weight))
        for given, step, rounded in _rows(weight, scale, result):
            rounded.copy_(torch.div(given, step).round_().clamp_(*bounds).mul_(step))
        ctx.save_for_backward(weight, scale)
        ctx.settings = (bounds, rounding)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, scale = ctx.saved_tensors
        (low, high), rounding = ctx.settings
        passed, of_scale = torch.empty_like(weight), torch.zeros_like(scale)
        for given, step, coming, inside, sums in _rows(weight, scale, gradient, passed, of_scale):
            ratio, coming = torch.div(given, step), coming.to(weight.dtype)
            inside.copy_(torch.ops.aten.hardtanh_backward(coming, ratio, low - 0.5, high + 0.5))
            if ctx.needs_input_grad[1]:
                codes = torch.round(ratio).clamp_(low, high)
                other = torch.mul(inside, ratio if rounding else codes)
                sums.copy_(codes.mul_(coming).sub_(other).sum_to_size(sums.shape))
        return passed, of_scale if ctx.needs_input_grad[1] else None, None, None


def _computed_in(weight: Tensor) -> torch.dtype:
    """What its layer would convert the weight to: done here it costs no pass of its own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def _rows(weight: Tensor, scale: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of all, piece by piece: see _PIECE. Scales along another axis go at once."""
    whole = weight.device.type != "cpu" or len(scale) != len(weight)
    rows = len(weight) if whole else max(1, _PIECE * len(weight) // weight.numel())
    return zip(*(torch.split(t, rows) for t in (weight, scale, *others)), strict=True)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor  # type: ignore[attr-defined]
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.factor, None
