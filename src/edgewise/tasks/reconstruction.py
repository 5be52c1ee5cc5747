"""Reconstruction: squared error of pixels, and the signal-to-noise ratio it amounts to."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.data.preprocess import Preprocessing


@dataclass(frozen=True)
class Reconstruction:
    """Images that the network is to give back, on the scale where a pixel is 0 to 1.

    contract: of the network's input, undone to see the pixels.
    """

    contract: Preprocessing

    def pixels(self, images: Tensor) -> Tensor:
        """Network inputs (n, channels, height, width) as pixels of 0 to 1."""
        shape = (1, self.contract.channels, 1, 1)
        std = torch.tensor(self.contract.std, device=images.device).view(shape)
        return images * std + torch.tensor(self.contract.mean, device=images.device).view(shape)

    def loss(self, outputs: Tensor, images: Tensor) -> Tensor:
        """Mean squared error over pixels; outputs in any shape of as many values an image."""
        wanted = self.pixels(images).reshape(outputs.shape)
        return (outputs.float() - wanted).square().mean()


def signal_to_noise(error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of pixels of 0 to 1."""
    return -10 * math.log10(max(error, 1e-12))
