"""The networks that come with edgewise, and the weights that come with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from edgewise.errors import UsageError
from edgewise.models.autoencoder import Autoencoder
from edgewise.models.vgg import VGG16
from edgewise.models.yolov3 import YOLOv3
from edgewise.models.yolov3_tiny import YOLOv3Tiny

_FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class BuiltIn:
    """A factory, its input (channels, height, width), and bundled weights if there are any.

    learns: each image's label, with as many outputs as there are; where which objects are, in so
    many maps; or to give images back.
    """

    factory: Callable[..., nn.Module]
    input_shape: tuple[int, int, int]
    weights: Path | None = None
    learns: Literal["labels", "objects", "images"] = "labels"
    maps: int = 0


BUILT_IN: Mapping[str, BuiltIn] = {
    "vgg16": BuiltIn(VGG16, (3, 32, 32), _FOLDER / "vgg16-w0.25-fashion-mnist.safetensors"),
    "autoencoder": BuiltIn(Autoencoder, (1, 28, 28), learns="images"),
    "yolov3": BuiltIn(
        YOLOv3, (3, 416, 416), _FOLDER / "yolov3-w0.25-composed-voc.safetensors", "objects", maps=3
    ),
    "yolov3-tiny": BuiltIn(YOLOv3Tiny, (3, 416, 416), learns="objects", maps=2),
}


def build(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A built-in network; raises UsageError for a name or an option that is not known."""
    if name not in BUILT_IN:
        raise UsageError(f"there is no built-in network '{name}'; known: {', '.join(BUILT_IN)}.")
    try:
        return BUILT_IN[name].factory(**options)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UsageError(f"{name} does not take the options {dict(options)}: {error}.") from error
