"""Random networks of the image 3x8x8."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from target_networks import Joined
from torch import nn

Draw = Callable[[st.SearchStrategy[Any]], Any]
Size = tuple[int, int]
Stage = tuple[list[nn.Module], int, Size]


def _convolution(draw: Draw, channels: int, size: Size) -> Stage:
    groups = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    wide = groups * draw(st.integers(1, 2 if groups > 2 else 4))
    axes = [draw(st.tuples(*(st.integers(*ends) for ends in ((1, 3), (1, 2), (0, 2), (1, 2)))))
            for _ in size]  # fmt: skip
    kernel, stride, padding, dilation = (list(one) for one in zip(*axes, strict=True))
    for axis, length in enumerate(size):
        while dilation[axis] * (kernel[axis] - 1) >= length + 2 * padding[axis]:
            kernel[axis] -= 1
    after = tuple(
        (length + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i, length in enumerate(size)
    )
    layer = nn.Conv2d(
        channels, wide, tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), groups,
        draw(st.booleans()),
    )  # fmt: skip
    norm = [nn.BatchNorm2d(wide)] if draw(st.booleans()) else []
    return [layer, *norm], wide, (after[0], after[1])


def _activation(draw: Draw, channels: int, size: Size) -> Stage:
    kinds = (nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.Sigmoid(), nn.SiLU(), nn.Hardswish())
    return [draw(st.sampled_from(kinds))], channels, size


def _pooling(draw: Draw, channels: int, size: Size) -> Stage:
    kernel, stride = draw(st.integers(1, min(3, *size))), draw(st.integers(1, 2))
    padding = draw(st.integers(0, kernel // 2))
    kind = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
    high, wide = ((length + 2 * padding - kernel) // stride + 1 for length in size)
    return [kind(kernel, stride, padding)], channels, (high, wide)


def _joining(draw: Draw, channels: int, size: Size) -> Stage:
    adds = draw(st.booleans())
    wide = channels if adds else draw(st.integers(1, 4))
    after, _, _ = _activation(draw, wide, size)
    branch = nn.Sequential(nn.Conv2d(channels, wide, 3, padding=1), *after)
    return [Joined(branch, adds)], channels if adds else channels + wide, size


def _upsampling(draw: Draw, channels: int, size: Size) -> Stage:
    if max(size) > 8:
        return [], channels, size
    return [nn.Upsample(scale_factor=2)], channels, (2 * size[0], 2 * size[1])


@st.composite
def networks(draw: Draw) -> nn.Module:
    """A network as if it had been trained."""
    torch.manual_seed(draw(st.integers(0, 99)))
    stages, channels, size = _convolution(draw, 3, (8, 8))
    kinds = [_convolution, _activation, _pooling, _joining, _upsampling]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5)):
        more, channels, size = kind(draw, channels, size)
        stages += more
    if draw(st.booleans()):
        head = nn.Linear(channels * size[0] * size[1], 5)
        stages += [nn.Flatten(), head, nn.ReLU(), nn.Linear(5, 3, draw(st.booleans()))]
    else:
        stages += _convolution(draw, channels, size)[0]
    for stage in stages:
        if isinstance(stage, nn.BatchNorm2d):
            assert stage.running_mean is not None
            assert stage.running_var is not None
            stage.running_mean.normal_(0, 0.3)
            stage.running_var.uniform_(0.3, 2.0)
            nn.init.uniform_(stage.weight, -1.5, 1.5)
            nn.init.normal_(stage.bias, 0, 0.2)
    return nn.Sequential(*stages).eval()
