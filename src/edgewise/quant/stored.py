"""Layers whose weights are integers in the file and floats when they run."""

import torch
from torch import Tensor, nn

from edgewise.graph.layer import WeightedLayer
from edgewise.quant.fake import rounded
from edgewise.quant.scheme import IntType
from edgewise.quant.weights_range import mse_channel_scales


class StoredLayer(nn.Module):
    """A weighted layer that computes in float with weights widened from codes, BatchNorm folded.

    scale: float32 (output channels,); weight_codes: int8; bias: as it was.
    """

    scale: Tensor
    weight_codes: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, layer: WeightedLayer, kind: IntType) -> None:
        super().__init__()
        self.form = layer.form
        self.kind = kind
        weight, bias = layer.folded()
        scale = mse_channel_scales(weight, self.form.out_axis, kind)
        codes = rounded(weight, self.form.per_channel(scale, weight.ndim), kind)
        self.register_buffer("scale", scale)
        self.register_buffer("weight_codes", codes)
        self.register_buffer("bias", bias)

    def weight(self) -> Tensor:
        """The weights that the codes stand for."""
        codes = self.weight_codes
        return codes.float() * self.form.per_channel(self.scale, codes.ndim)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.form.run(inputs, self.weight(), self.bias)
