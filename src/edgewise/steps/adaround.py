"""Learn which weights to round up and which down."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, fx

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network, operation
from edgewise.graph.patches import KINDS, sample
from edgewise.progress import Progress
from edgewise.quant.adaround import Learning, Rows, learn_codes
from edgewise.quant.equalize import blocks, unblocks
from edgewise.quant.fake import QuantizedLayer, least_scale, rounded
from edgewise.quant.integer import CLIPS, clip_bounds
from edgewise.quant.weights_range import mse_channel_scales
from edgewise.steps.paired import Paired, integer_layers, paired_layers
from edgewise.steps.step import Step

_ROWS = 16_384  # output positions of a layer that it learns from
_VALUES = 1 << 26  # of their inputs, at most: 256 MiB
_SCALES = ("mse", "keep")


@dataclass(frozen=True)
class AdaRound(Step):
    """Adaptive rounding, layer by layer: each weight's code is rounded up or down so that the
    layer's output, past a fused activation and from the quantized network's own input, comes
    nearest to the float network's.

    images: calibration images to use at most, whose activations between two layers are in memory
    together; iterations: for each layer, each of batch_size output positions; weight: of the
    regularizer, beside a loss of which rounding to nearest is one; scales: of the weights, `mse`
    for the least squared error, `keep` for what Quantize chose.
    """

    name: ClassVar[str] = "adaround"
    needs_data: ClassVar[bool] = True
    refines: ClassVar[bool] = True

    images: int = 1024
    iterations: int = 500
    batch_size: int = 256
    seed: int = 0
    weight: float = 10.0
    scales: str = "mse"

    def __post_init__(self) -> None:
        if min(self.images, self.iterations, self.batch_size) < 1 or self.seed < 0:
            raise RecipeError(
                "adaround needs an image, an iteration and a batch of one at least, and no "
                "negative seed."
            )
        if not 0 <= self.weight < math.inf:
            raise RecipeError(f"adaround cannot weigh its regularizer by {self.weight}.")
        if self.scales not in _SCALES:
            raise RecipeError(
                f"there are no scales '{self.scales}'; choose one of {', '.join(_SCALES)}."
            )

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        assert data is not None, "a recipe gives data to the steps that need them"
        layers = len(integer_layers(network.module))
        learning = Learning(self.iterations, self.batch_size, self.seed, self.weight)
        with torch.no_grad():
            for done, pair in enumerate(paired_layers(network, data.head(self.images), 16), 1):
                if pair.layer.form.kind in KINDS:
                    self._round(network.module, pair, learning)
                progress(self.name, done, layers)
        return network

    def _round(self, module: fx.GraphModule, pair: Paired, learning: Learning) -> None:
        layer, clip = pair.layer, _clip(module, pair.node)
        weight, _ = pair.original.folded()
        if self.scales == "mse":
            _rescale(layer, weight)
        scale = layer.form.per_channel(layer.scale, weight.ndim)
        wanted = blocks(layer.form, weight / scale).flatten(2)
        rows = _rows(pair, clip, self.seed)
        with torch.enable_grad():
            learned = learn_codes(wanted, rows, layer.kind, learning)
        nearest = rounded(weight, scale, layer.kind)
        codes = unblocks(layer.form, learned[..., None], weight.shape).to(torch.int8)
        losses = []
        for layer.weight_codes in (nearest, codes):
            losses.append(_loss(pair, clip))
        layer.weight_codes = codes if losses[1] <= losses[0] else nearest


def _clip(module: fx.GraphModule, node: fx.Node) -> tuple[float, float]:
    """The bounds of the activation that the runtime computes with a layer."""
    if len(node.users) == 1:
        (reader,) = node.users
        kind = operation(module, reader)
        if kind in CLIPS:
            low, high = clip_bounds(reader, kind)
            return low, math.inf if high is None else high
    return -math.inf, math.inf


def _rescale(layer: QuantizedLayer, weight: Tensor) -> None:
    """Give the weights the scales of least squared error, and the bias codes of their new steps."""
    bias = None if layer.bias_codes is None else layer.bias_codes.double() * layer.step.double()
    scale = mse_channel_scales(weight, layer.form.out_axis, layer.kind)
    layer.scale = least_scale(scale, None if bias is None else bias.float(), layer.source[0].scale)
    if bias is not None:
        layer.bias_codes = torch.round(bias / layer.step.double()).to(torch.int32)


def _rows(pair: Paired, clip: tuple[float, float], seed: int) -> Rows:
    layer = pair.layer
    kernel = layer.weight_codes.shape
    read = math.prod(kernel[1:]) * int(layer.form.geometry.get("groups", 1))
    limit = max(1, min(_ROWS, _VALUES // read))
    batches = list(zip(pair.inputs, pair.targets, strict=True))
    inputs, targets = sample(layer.form, kernel, batches, limit, seed)
    scale = layer.scale.view(len(inputs), 1, -1)
    codes = torch.zeros(()) if layer.bias_codes is None else layer.bias_codes.float()
    bias = codes * layer.step
    return Rows(inputs, targets.clamp(*clip), scale, bias.view_as(scale), clip)


def _loss(pair: Paired, clip: tuple[float, float]) -> float:
    """Sum of squared errors of a layer's output on all the images."""
    total = 0.0
    for inputs, targets in zip(pair.inputs, pair.targets, strict=True):
        error = pair.layer(inputs).clamp(*clip) - targets.clamp(*clip)
        total += float(error.square().double().sum())
    return total
