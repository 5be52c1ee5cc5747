"""Layers of fewer channels, made of parts of the old ones' parameters."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from edgewise.graph.channels.masks import Mask
from edgewise.graph.channels.weighted import groups, is_depthwise
from edgewise.graph.layer import Form, WeightedLayer


@dataclass(frozen=True)
class Slicer:
    """Takes parts of tensors; of one tensor the same part is the same one, so that layers go on
    sharing what they shared.
    """

    _made: dict[tuple[int, tuple[tuple[int, bytes], ...]], Tensor] = field(default_factory=dict)

    def part(self, tensor: Tensor, *axes: tuple[int, Mask]) -> Tensor:
        """The given channels along each axis: (axis, which are kept)."""
        key = (id(tensor), tuple((axis, mask.tobytes()) for axis, mask in axes))
        if key not in self._made:
            result = tensor.detach()
            for axis, mask in axes:
                result = result.index_select(axis, torch.from_numpy(np.flatnonzero(mask)))
            if isinstance(tensor, nn.Parameter):
                result = nn.Parameter(result, requires_grad=tensor.requires_grad)
            self._made[key] = result
        return self._made[key]

    def layer(self, layer: WeightedLayer, made: Mask, read: Mask) -> WeightedLayer:
        """A convolution or linear layer; made, read: which of its outputs and inputs are kept."""
        form, count = layer.form, groups(layer)
        axes = [(0, made), (1, read[: len(read) // count])]
        if form.kind == "conv_transpose2d":
            axes = [(0, read), (1, made[: len(made) // count])]
        if is_depthwise(layer):  # one input to each group, so that groups go as a whole
            axes, count = axes[:1], int(read.sum())
        geometry = (
            {**form.geometry, "groups": count} if "groups" in form.geometry else form.geometry
        )
        weight = self.part(layer.weight, *axes)
        bias = None if layer.bias is None else self.part(layer.bias, (0, made))
        assert isinstance(weight, nn.Parameter)
        assert bias is None or isinstance(bias, nn.Parameter)
        result = WeightedLayer(Form(form.kind, form.path, geometry), weight, bias)
        if layer.batch_norm is not None:
            result.batch_norm = self.norm(layer.batch_norm, made)
        return result.train(layer.training)

    def norm(self, norm: nn.BatchNorm2d, kept: Mask) -> nn.BatchNorm2d:
        """A BatchNorm, its statistics with it."""
        made = type(norm)(int(kept.sum()), norm.eps, norm.momentum, norm.affine)
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(norm, name)
            if value is not None:
                setattr(made, name, self.part(value, (0, kept)))
        if norm.num_batches_tracked is not None:
            made.num_batches_tracked = norm.num_batches_tracked.clone()
        return made.train(norm.training)
