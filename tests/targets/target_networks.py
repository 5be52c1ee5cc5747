"""Little networks around what is tested."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Between(nn.Module):
    """An operation between two convolutions, of which the second takes `channels`."""

    def __init__(self, function: Callable[..., Any], channels: int = 4) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(channels, 3, 1)
        self.function = function

    def forward(self, images: Tensor) -> Any:
        return self.two(self.function(self.one(images)))


class Gated(nn.Module):
    """Squeeze and excitation: a gate a channel, from the mean of each."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        gate = F.relu(self.down(images.mean((2, 3), keepdim=True)))
        return images * torch.sigmoid(self.up(gate))


class Classified(nn.Module):
    """An image of several rows and channels flattened in the network's order, NCHW."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * 8 * 8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1)).view(-1, 5, 1, 1)  # type: ignore[no-any-return]


class Odd(nn.Module):
    """A stride of two over odd sizes, where SAME pads as many in front."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 6, 3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images[:, :, :7, :5])  # type: ignore[no-any-return]


class Joined(nn.Module):
    """A branch, joined with its own input."""

    def __init__(self, branch: nn.Module, adds: bool) -> None:
        super().__init__()
        self.branch, self.adds = branch, adds

    def forward(self, values: Tensor) -> Tensor:
        other = self.branch(values)
        return values + other if self.adds else torch.cat([values, other], 1)


class Dead(nn.Module):
    """A ReLU that nothing passes in calibration."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        nn.init.constant_(self.one.bias, -100.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        return self.two(torch.relu(self.one(images)))  # type: ignore[no-any-return]


class Summed(nn.Module):
    """A convolution, and a running sum over channels, which no target writes."""

    def __init__(self) -> None:
        super().__init__()
        self.sorter = nn.Sequential(nn.Conv2d(3, 4, 1))

    def forward(self, images: Tensor) -> Tensor:
        return torch.cumsum(self.sorter(images), 1)


class Pyramid(nn.Module):
    """Maps of two sizes and a number an image, the finer map of both sizes: three outputs."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 6, 3, 1, 1), nn.LeakyReLU(0.1))
        self.coarse = nn.Sequential(nn.Conv2d(6, width, 3, 2, 1), nn.LeakyReLU(0.1))
        self.first, self.second = nn.Conv2d(width, 5, 1), nn.Conv2d(width + 6, 5, 1)
        self.last = nn.Linear(width, 1)

    def forward(self, images: Tensor) -> dict[str, Any]:
        fine = self.fine(images)
        coarse = self.coarse(fine)
        both = torch.cat([F.interpolate(coarse, scale_factor=2.0), fine], 1)
        maps = [self.first(coarse), self.second(both)]
        return {"maps": maps, "number": self.last(coarse.mean((2, 3)))}


def shuffled(images: Tensor) -> Tensor:
    """Channels of two groups in turn."""
    count, channels, height, width = images.shape
    groups = images.view(count, 2, channels // 2, height, width)
    return groups.transpose(1, 2).contiguous().view(count, channels, height, width)


def halves(images: Tensor) -> Tensor:
    """The second half of the channels before the first."""
    left, right = images.chunk(2, 1)
    return torch.cat([right, left], 1)
