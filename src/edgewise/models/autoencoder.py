"""A fully connected autoencoder of images (Hinton and Salakhutdinov 2006, smaller)."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Takes images (n, 1, 28, 28), gives their pixels (n, 784), from 0 to 1.

    width: multiplier of 256 and 64, the hidden layers of the encoder; the decoder mirrors them;
    inputs: values of an image.
    """

    edgewise_regions = {"encoder": ("encoder*",), "decoder": ("decoder*",)}  # noqa: RUF012

    def __init__(self, width: float = 1.0, inputs: int = 784) -> None:
        super().__init__()
        sizes = (inputs, *(max(1, round(size * width)) for size in (256, 64)))
        self.flatten = nn.Flatten()
        self.encoder = _stack(sizes)
        self.decoder = _stack(sizes[::-1])
        self.decoder[-1] = nn.Sigmoid()

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(self.encoder(self.flatten(images))))


def _stack(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)
