"""Adaptive rounding: which weights to round up and which down, learned from a layer's output.

Nagel et al. 2020, "Up or down? Adaptive rounding for post-training quantization". Each weight's
code is floor(w / s) + h(V), where h, a sigmoid stretched to [gamma, zeta] and cut to [0, 1], is
pushed to 0 or 1 by a regularizer that sharpens over time.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgewise.quant.scheme import IntType

_ZETA, _GAMMA = 1.1, -0.1
_BETA = (20.0, 2.0)  # of the regularizer, first to last
_WARM = 0.2  # share of the iterations without the regularizer
_RATE = 0.05  # of Adam


@dataclass(frozen=True)
class Rows:
    """A layer as a product: outputs = activation(inputs x weights x scale + bias).

    inputs: (groups, rows, inputs of a group times taps), one row per output position;
    targets: what the float layer gives there after the activation, (groups, rows, outputs of a
    group); scale, bias: (groups, 1, outputs of a group); clip: the activation's bounds.
    """

    inputs: Tensor
    targets: Tensor
    scale: Tensor
    bias: Tensor
    clip: tuple[float, float]

    def errors(self, codes: Tensor, index: Tensor | slice = slice(None)) -> Tensor:
        """Output errors of rows for codes (groups, outputs, inputs)."""
        weights = codes.mT * self.scale
        outputs = torch.baddbmm(self.bias, self.inputs[:, index], weights)
        return outputs.clamp(*self.clip) - self.targets[:, index]


@dataclass(frozen=True)
class Learning:
    """How long and how: `batch_size` rows at a time; `weight` of the regularizer."""

    iterations: int
    batch_size: int
    seed: int
    weight: float


def learn_codes(wanted: Tensor, rows: Rows, kind: IntType, learning: Learning) -> Tensor:
    """Codes (groups, outputs, inputs), each next to the weight in steps of its scale, `wanted`.

    The loss is in units of that of rounding to nearest, and the regularizer a mean over weights,
    so that neither the network's scale nor a layer's size changes what `weight` means.
    """
    nearest = torch.clamp(torch.round(wanted), kind.low, kind.high)
    unit = float(rows.errors(nearest).square().mean())
    if unit == 0:
        return nearest
    low = torch.clamp(torch.floor(wanted), kind.low, kind.high - 1)
    share = torch.clamp(wanted - low, 0, 1)
    logits = nn.Parameter(torch.logit((share - _GAMMA) / (_ZETA - _GAMMA)))
    optimizer = torch.optim.Adam([logits], lr=_RATE, fused=True)
    draw = torch.Generator().manual_seed(learning.seed)
    count = rows.inputs.shape[1]
    for step in range(learning.iterations):
        index = torch.randint(count, (learning.batch_size,), generator=draw)
        up = _rectified(logits)
        loss = rows.errors(low + up, index).square().mean() / unit
        beta = _beta(step / learning.iterations)
        if beta is not None:
            loss = loss + learning.weight * (1 - (2 * up - 1).abs().pow(beta)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return low + (_rectified(logits) >= 0.5)


def _rectified(logits: Tensor) -> Tensor:
    return (torch.sigmoid(logits) * (_ZETA - _GAMMA) + _GAMMA).clamp(0, 1)


def _beta(share: float) -> float | None:
    """The regularizer's exponent when `share` of the iterations are over; None before it acts."""
    if share < _WARM:
        return None
    done = (share - _WARM) / (1 - _WARM)
    first, last = _BETA
    return last + 0.5 * (first - last) * (1 + math.cos(done * math.pi))
