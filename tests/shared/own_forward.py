"""Modules whose forward is a test's own function."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Own(nn.Module):
    """Parts, and a function of them and the images."""

    def __init__(self, forward: Callable[[Any, Any], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, images: Tensor) -> Any:
        return self.function(self, images)


def conv(*settings: Any, **more: Any) -> nn.Conv2d:
    """A convolution as a part, whatever its settings."""
    return nn.Conv2d(*settings, **more)
