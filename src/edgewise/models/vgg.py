"""VGG-16 for 32x32 images: 13 convolutions, one classifier.

Simonyan & Zisserman 2015 (configuration D), with BatchNorm and the single classifier layer that
the CIFAR-10 literature uses.
"""

from typing import cast

from torch import Tensor, nn

_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


class VGG16(nn.Module):
    """Takes (n, in_channels, 32, 32), gives (n, classes) logits.

    width: multiplier of every layer's channels, at least one channel each;
    batch_norm: False gives convolutions with bias, as the original had.
    """

    edgewise_regions = {"backbone": ("features*",), "head": ("classifier*",)}  # noqa: RUF012

    def __init__(
        self, width: float = 1.0, classes: int = 10, batch_norm: bool = True, in_channels: int = 3
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for base in _WIDTHS:
            if base == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            out = max(1, round(base * width))
            layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.ReLU(inplace=True))
            channels = out
        self.features = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.5 if width >= 1 else 0.2)
        self.classifier = nn.Linear(channels, classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        features = self.flatten(self.features(images))
        return cast(Tensor, self.classifier(self.dropout(features)))


def _initialise(module: nn.Module) -> None:
    """Kaiming initialisation: without BatchNorm thirteen layers do not train from less."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
