"""Quantizers that are trained with the network (quantization-aware training).

While training they round with a surrogate gradient; in eval mode they compute what the integer
layers that they become compute. BatchNorm stays as it is: rounding w in steps of s and then scaling
by gamma / sigma is rounding the folded weights in steps of s * gamma / sigma. Fused and unfused are
the same codes, so nothing is lost by folding afterwards.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edgewise.errors import RecipeError
from edgewise.graph.layer import WeightedLayer, batch_norm_affine
from edgewise.quant.affine import affine_parameters, channel_scales
from edgewise.quant.fake import FakeQuantize, QuantizedLayer, least_scale, rounded
from edgewise.quant.scheme import IntType
from edgewise.quant.surrogate import round_activation, round_weight, scale_gradient
from edgewise.quant.weights_range import mse_channel_scales

METHODS = ("lsq", "pact", "ste")
PLACEMENTS = ("every-output", "activations", "target")
FLOOR = 0.25  # of the first scale: less is a collapse, and overflows the int32 bias
CEILING = 16.0
_MOMENTUM = 0.01  # of running ranges, as in torch's moving-average observer


class StepSize(nn.Parameter):
    """A learned scale or zero point: trained slower than weights, and without decay."""


@dataclass(frozen=True)
class Learning:
    """How quantizers learn.

    method: lsq (with a learned zero point where zero is not the lowest code: LSQ+), pact (only what
    is clipped moves the scale), ste (nothing is learned: weights take their largest value's scale,
    activations a moving average of what they show, straight-through gradients);
    placement: `target`, what its runtime executes; `activations`, weights and fused activations
    alone, the image and the logits in float; `every-output`, also what convolutions and BatchNorm
    give. Only the first can be written as an artifact, the others exist to be compared with it.
    """

    method: str = "lsq"
    placement: str = "target"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise RecipeError(
                f"there is no training method '{self.method}'; choose one of {', '.join(METHODS)}."
            )
        if self.placement not in PLACEMENTS:
            raise RecipeError(
                f"there is no placement '{self.placement}'; choose one of {', '.join(PLACEMENTS)}."
            )


class LearnedQuantizer(FakeQuantize):
    """An activation's quantizer whose scale, and zero point, are trained.

    The scale stays between a quarter and sixteen times its first value.
    """

    first_scale: Tensor
    fresh: Tensor
    range: Tensor

    def __init__(
        self,
        kind: IntType,
        scale: Tensor,
        zero_point: Tensor,
        learning: Learning,
        symmetric: bool = False,
    ) -> None:
        """symmetric: the zero point stays where it is."""
        super().__init__(kind, scale, zero_point)
        self.learning = learning
        self.symmetric = symmetric
        self.passes = False  # where a placement leaves this tensor in float
        self.register_buffer("fresh", torch.tensor(False))  # the first batch sets the range
        self.register_buffer("first_scale", scale.clone())
        if learning.method != "ste":
            del self._buffers["scale"]
            self.scale = StepSize(scale.clone())
            # Where zero is the lowest code it stays.
            if float(zero_point) != kind.low and not symmetric:
                del self._buffers["zero_point"]
                self.zero_point = StepSize(zero_point.clone())
        else:
            self.register_buffer("range", torch.stack(_ends(kind, scale, zero_point)))

    def forward(self, values: Tensor) -> Tensor:
        if self.passes:
            return values
        if not self.training:
            return cast(Tensor, self.frozen()(values))
        if bool(self.fresh):
            self._begin(values.detach())
        if self.learning.method == "ste":
            self._observe(values.detach())
        else:
            self._project()
        factor = (values.numel() / len(values) * max(self.kind.high, 1)) ** -0.5
        return round_activation(
            values,
            scale_gradient(self.scale, factor),
            scale_gradient(self.zero_point, factor),
            (self.kind.low, self.kind.high),
            self.learning.method == "lsq",
        )

    @torch.no_grad()
    def frozen(self) -> FakeQuantize:
        """The quantizer that this one has become."""
        zero = torch.clamp(torch.round(self.zero_point), self.kind.low, self.kind.high)
        return FakeQuantize(self.kind, self.scale.detach().clone(), zero.detach().clone())

    @staticmethod
    def unseen(kind: IntType, learning: Learning) -> "LearnedQuantizer":
        """A quantizer that takes its range from the first batch it is trained on."""
        middle = torch.tensor(float((kind.low + kind.high + 1) // 2))  # so that zero is learned too
        made = LearnedQuantizer(kind, torch.tensor(1.0), middle, learning)
        made.fresh.fill_(True)
        return made

    @torch.no_grad()
    def _begin(self, values: Tensor) -> None:
        low, high = (float(end) for end in torch.aminmax(values))
        scale, zero = affine_parameters(low, high, self.kind)
        self.scale.copy_(scale)
        self.first_scale.copy_(scale)
        self.zero_point.copy_(zero)
        if self.learning.method == "ste":
            self.range.copy_(torch.stack(_ends(self.kind, self.scale, self.zero_point)))
        self.fresh.fill_(False)

    @torch.no_grad()
    def _project(self) -> None:
        first = self.first_scale
        self.scale.clamp_(FLOOR * first, CEILING * first)
        self.zero_point.clamp_(self.kind.low, self.kind.high)

    @torch.no_grad()
    def _observe(self, values: Tensor) -> None:
        ends = self.range
        low, high = torch.aminmax(values)
        seen = torch.stack([low.float().clamp(max=0.0), high.float().clamp(min=0.0)])
        ends.lerp_(seen, _MOMENTUM)
        if self.symmetric:
            reach = self.kind.high - self.zero_point
            self.scale.copy_((ends.abs().max() / reach).clamp_min(1e-12))
            return
        steps = self.kind.high - self.kind.low
        self.scale.copy_(((ends[1] - ends[0]) / steps).clamp_min(1e-12))
        zero = torch.round(self.kind.low - ends[0] / self.scale)
        self.zero_point.copy_(zero.clamp(self.kind.low, self.kind.high))


def _ends(kind: IntType, scale: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    return (kind.low - zero) * scale, (kind.high - zero) * scale


class LearnedLayer(nn.Module):
    """A weighted layer whose weights are rounded while they are trained.

    scale: (output channels,), of the weights as they are trained, before BatchNorm's factor;
    sums, normed: quantizers of what the convolution and BatchNorm give, where every output is
    rounded.
    """

    scale: Tensor
    first_scale: Tensor

    def __init__(
        self,
        layer: WeightedLayer,
        kind: IntType,
        source: LearnedQuantizer,
        learning: Learning,
    ) -> None:
        super().__init__()
        self.form, self.kind, self.learning = layer.form, kind, learning
        self.source = [source]
        self.weight, self.bias, self.batch_norm = layer.weight, layer.bias, layer.batch_norm
        weight = layer.weight.detach()
        choose = channel_scales if learning.method == "ste" else mse_channel_scales
        scale = choose(weight * self._signs(), self.form.out_axis, kind)
        self.register_buffer("first_scale", scale.clone())
        if learning.method == "ste":
            self.register_buffer("scale", scale.clone())
        else:
            self.scale = StepSize(scale.clone())
        self.sums: LearnedQuantizer | None = None
        self.normed: LearnedQuantizer | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training and self.sums is None:
            return cast(Tensor, self.frozen(self.source[0].frozen())(inputs))
        result = self.form.run(inputs, self.rounded_weight(), self.bias)
        for after in (self.sums, self.batch_norm, self.normed):
            if after is not None:
                result = after(result)
        return result

    def rounded_weight(self) -> Tensor:
        """The weights as the convolution uses them while training."""
        self._project()
        signs = self._signs()
        per_channel = self.weight.numel() // len(self.scale)
        factor = (per_channel * max(self.kind.high, 1)) ** -0.5
        scale = self.form.per_channel(scale_gradient(self.scale, factor), self.weight.ndim)
        bounds = (self.kind.low, self.kind.high)
        learns_rounding = self.learning.method == "lsq"
        return round_weight(self.weight, scale * signs, bounds, learns_rounding)

    @torch.no_grad()
    def frozen(self, source: FakeQuantize) -> QuantizedLayer:
        """The integer layer that this one has become, BatchNorm folded."""
        self._project()
        rank = self.weight.ndim
        folded, bias = self.float_layer().folded()
        factor = torch.ones(len(self.scale), dtype=torch.float64)
        if self.batch_norm is not None:
            factor = batch_norm_affine(self.batch_norm)[0].abs()
        scale = (self.scale.double() * factor).float().clamp_min(1e-12)
        wide = least_scale(scale, bias, source.scale)
        if bool((wide > scale).any()):  # only then do the folded weights decide
            codes = rounded(folded, self.form.per_channel(wide, rank), self.kind)
        else:
            codes = rounded(
                self.weight.detach() * self._signs(),
                self.form.per_channel(self.scale.detach(), rank),
                self.kind,
            )
        return QuantizedLayer(self.form, self.kind, source, (codes, wide), bias)

    def float_layer(self) -> WeightedLayer:
        """The layer as it would be without rounding; it shares the parameters."""
        layer = WeightedLayer(self.form, self.weight, self.bias)
        layer.batch_norm = self.batch_norm
        return layer

    def dampening(self) -> Tensor:
        """Sum of squared distances of weights from their grid (Nagel et al. 2022, eq. 9)."""
        scale = self.form.per_channel(self.scale.detach(), self.weight.ndim)
        low, high = self.kind.low * scale, self.kind.high * scale
        clipped = torch.minimum(torch.maximum(self.weight * self._signs(), low), high)
        goal = (torch.round(clipped / scale) * scale).detach()
        return (clipped - goal).square().sum()

    def _signs(self) -> Tensor:
        """BatchNorm's signs, broadcast: a negative gamma mirrors the grid of the folded weights."""
        norm = self.batch_norm
        if norm is None or not norm.affine:
            return torch.ones((), dtype=self.weight.dtype)
        signs = torch.where(norm.weight.detach() < 0, -1.0, 1.0)
        return self.form.per_channel(signs, self.weight.ndim)

    @torch.no_grad()
    def _project(self) -> None:
        first = self.first_scale
        if self.learning.method == "ste":
            weight = self.weight * self._signs()
            self.scale.copy_(channel_scales(weight, self.form.out_axis, self.kind))
        else:
            self.scale.clamp_(FLOOR * first, CEILING * first)
