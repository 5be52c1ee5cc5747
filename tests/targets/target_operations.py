"""Operations that targets have in common, and what a target makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from target_networks import Classified, Gated, Odd, halves, shuffled
from torch import nn
from torch.nn import functional as F

Function = Callable[..., Any]
Entry = tuple[Function, int]  # and the channels that it gives for four


@dataclass(frozen=True)
class Operations:
    """What a target makes of an operation between two convolutions, by name.

    codes: runs on codes; islands: in float, between integer layers; floats: has no integer form,
    and runs in float when asked to; refused: cannot be written, and what is said of it.
    """

    codes: Mapping[str, Entry]
    islands: Mapping[str, Entry]
    floats: Mapping[str, Entry]
    refused: Mapping[str, tuple[Function, str]]

    @property
    def written(self) -> dict[str, Entry]:
        """All that can be written, convolutions too."""
        return {**CONVOLUTIONS, **self.codes, **self.islands, **self.floats}

    @property
    def kept(self) -> tuple[str, ...]:
        """Globs that keep the floats in float.

        An operation without weights is named by its layer; here by the one that holds both
        convolutions.
        """
        kinds = {f"{name.partition(' ')[0]}*" for name in self.floats}
        return ("function", "function.*", *kinds, "abs*")


torch.manual_seed(0)

CONVOLUTIONS: dict[str, Entry] = {
    "stride": (nn.Conv2d(4, 6, 3, 2, 1), 6),
    "stride of an odd size": (Odd(), 6),
    "same": (nn.Conv2d(4, 6, 5, padding="same"), 6),
    "valid": (nn.Conv2d(4, 6, 3), 6),
    "dilated": (nn.Conv2d(4, 6, 3, padding=2, dilation=2), 6),
    "oblong": (nn.Conv2d(4, 6, (1, 3), (1, 2), (0, 1)), 6),
    "wide padding": (nn.Conv2d(4, 6, 3, padding=3, bias=False), 6),
    "groups": (nn.Conv2d(4, 6, 3, groups=2, padding=1), 6),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, padding=1), 4),
    "depthwise, stride": (nn.Conv2d(4, 4, 3, 2, 1, groups=4), 4),
    "depthwise, twice as many": (nn.Conv2d(4, 8, 3, groups=4, padding=1), 8),
    "depthwise, dilated": (nn.Conv2d(4, 4, 3, groups=4, padding=2, dilation=2), 4),
    "classifier": (Classified(), 5),
}
CODES: dict[str, Entry] = {
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), 4),
    "shuffle": (shuffled, 4),
    "chunk": (halves, 4),
    "split": (lambda x: x.split([1, 3], 1)[1], 3),
    "slice": (lambda x: x[:, 1:3, 1:5, ::2], 2),
    "select": (lambda x: x[:, :, 0].unsqueeze(2), 4),
    "flatten": (lambda x: x.flatten(1).view(-1, 4, 8, 8), 4),
    "permute": (lambda x: x.permute(0, 2, 1, 3), 8),
    "upsample_nearest2d": (lambda x: F.interpolate(x, scale_factor=2.0), 4),
    "upsample by size": (lambda x: F.interpolate(x, size=(16, 12)), 4),
    "pad": (lambda x: F.pad(x, (1, 0, 1, 2)), 4),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), 1),
    "dropout": (lambda x: F.dropout(x, 0.5, False), 4),
    "hardtanh": (lambda x: F.hardtanh(x, -0.2, 0.3), 4),
    "twice": (lambda x: F.relu(F.relu6(x)), 4),
    "add": (lambda x: x + x, 4),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), 4),
    "sigmoid": (torch.sigmoid, 4),
    "silu": (F.silu, 4),
    "cat": (lambda x: torch.cat([x, torch.sigmoid(x)], 1), 8),
    "cat, relu": (lambda x: F.relu(torch.cat([x, F.leaky_relu(x, 0.2)], 1)), 8),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), 4),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), 4),
    "adaptive to 2": (lambda x: F.adaptive_avg_pool2d(x, 2), 4),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), 4),
    "gate": (Gated(), 4),
}
ISLANDS: dict[str, Entry] = {
    "hardsigmoid": (F.hardsigmoid, 4),
    "clamp": (lambda x: x.clamp(0.1, 0.5), 4),
    "clamp_max": (lambda x: x.clamp_max(0.5), 4),
    "numbers": (lambda x: (2 * x - 0.5) / 3 + 1, 4),
    "rsub": (lambda x: 1 - x, 4),
    "constant": (lambda x: x * torch.arange(1.0, 5.0).view(4, 1, 1), 4),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"), 4),
    "bilinear corners": (
        lambda x: F.interpolate(x, size=(11, 16), mode="bilinear", align_corners=True), 4,
    ),
}  # fmt: skip
FLOATS: dict[str, Entry] = {
    "softmax": (lambda x: F.softmax(x, 1), 4),
    "gelu": (F.gelu, 4),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), 4),
    "elu": (F.elu, 4),
    "prelu": (nn.PReLU(4), 4),
    "exp": (torch.exp, 4),
    "log": (lambda x: torch.log(x.abs().add(1)), 4),
    "sqrt": (lambda x: torch.sqrt(x.abs()), 4),
    "neg": (torch.neg, 4),
    "pow": (lambda x: x**2, 4),
    "maximum": (lambda x: torch.maximum(x, 0.5 * x), 4),
    "minimum": (lambda x: torch.minimum(x, 0.5 * x), 4),
    "sum": (lambda x: x.sum((2, 3), keepdim=True), 4),
    "matmul": (lambda x: torch.matmul(x, x.transpose(2, 3)), 4),
    "linear of maps": (nn.Linear(8, 8), 4),
    "linear of maps, no bias": (nn.Linear(8, 8, bias=False), 4),
}
REFUSED: dict[str, tuple[Function, str]] = {
    "reflection": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "pad.*constant zeros"),
    "uneven pooling": (lambda x: F.adaptive_avg_pool2d(x, 3), r"from \[8, 8\] to \[3, 3\]"),
    "scaled sum": (lambda x: torch.add(x, x, alpha=2), "alpha"),
    "whole divisions": (lambda x: torch.div(x, 2, rounding_mode="floor"), "rounding_mode"),
    "spectrum": (lambda x: torch.fft.fft2(x).abs(), "fft"),
    "mean of batch": (lambda x: x - x.mean(0, keepdim=True), "over the batch"),
    "running sum": (lambda x: torch.cumsum(x, 1), "cumsum"),
    "fractions of pixels": (
        lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear"), "whole number",
    ),
}  # fmt: skip
