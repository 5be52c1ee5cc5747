"""What darknet's detectors are made of (Redmon and Farhadi 2018)."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

Anchors = Sequence[Sequence[Sequence[float]]]

EPSILON = 1e-5  # added to variances, as darknet does on a GPU
SLOPE = 0.1
_BOX = 5  # values of an anchor beside its classes: x, y, width, height, objectness
_OBJECTNESS = -5.0  # an anchor holds no object, until training says otherwise


class Block(nn.Module):
    """A convolution without bias that keeps the size divided by its stride, BatchNorm, leaky ReLU.

    Takes (n, inputs, h, w), gives (n, outputs, h / stride, w / stride).
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.activation(self.norm(self.conv(features))))


class Head(nn.Module):
    """A 3x3 block of `hidden` channels and the 1x1 convolution that gives the map of one scale.

    Takes (n, inputs, h, w), gives (n, anchors * (5 + classes), h, w): raw values, anchor by anchor.
    """

    def __init__(self, inputs: int, hidden: int, classes: int, anchors: int) -> None:
        super().__init__()
        if classes < 1 or anchors < 1:
            raise ValueError(f"a map needs a class and an anchor, not {classes} and {anchors}")
        self.block = Block(inputs, hidden, 3)
        self.output = nn.Conv2d(hidden, anchors * (_BOX + classes), 1)
        _start(self.output, classes)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.output(self.block(features)))


class Upward(nn.Module):
    """To the next finer scale: a 1x1 block, doubled in size, beside that scale's own channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = Block(inputs, outputs, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, features: Tensor, finer: Tensor) -> Tensor:
        return torch.cat([self.upsample(self.block(features)), finer], 1)


def decoder(anchors: Anchors, classes: int, spread: float) -> dict[str, Any]:
    """What a detector declares of its maps, as edgewise.tasks.detection.decoder reads it."""
    sizes = [[[float(side) for side in size] for size in each] for each in anchors]
    return {"schema": "yolo/1", "anchors": sizes, "classes": classes, "spread": float(spread)}


def scaled(channels: int, width: float) -> int:
    """Channels at a width, at least one."""
    return max(1, round(channels * width))


@torch.no_grad()
def _start(output: nn.Conv2d, classes: int) -> None:
    """Biases from which training starts: no object, and each class as likely as any other."""
    assert output.bias is not None
    values = output.bias.view(-1, _BOX + classes)
    values[:, _BOX - 1] = _OBJECTNESS
    values[:, _BOX:] = -math.log(max(1, classes - 1))
