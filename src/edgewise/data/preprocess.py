"""The preprocessing contract: one object from training to the device."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError, UsageError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Stored = Pixels | Floats
Shape = tuple[int, int, int]  # channels, height, width
Fit = Literal["crop", "letterbox"]

# Of ImageNet's photographs (Deng et al. 2009), and of their grey values.
_PHOTOGRAPHS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_GREY = (0.449, 0.226)


@dataclass(frozen=True)
class Preprocessing:
    """How stored pixels become the network's input; stored with weights and inside artifacts.

    height, width: the network's input size in pixels; smaller images are zero-padded around their
    centre, larger ones are refused (readers of image files resize while decoding);
    channels: 1 or 3, a single stored channel is repeated;
    mean, std: per channel, on the scale where a pixel is 0 to 1;
    stored: the images' type before: "uint8" pixels, or "float32" that are the network's input
    already, (n, channels, height, width), and pass unchanged;
    fit: how a reader of image files brings them to the input's size: "crop" covers it and cuts the
    rest off, "letterbox" shows the whole image, centred on grey.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stored: Literal["uint8", "float32"] = "uint8"
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise DataError(
                f"a preprocessing contract for {self.channels} channels needs as many means and "
                f"standard deviations, not {len(self.mean)} and {len(self.std)}."
            )
        if min(self.height, self.width, self.channels) < 1 or min(self.std) <= 0:
            raise DataError("a preprocessing contract needs positive sizes and deviations.")
        if not np.isfinite([*self.mean, *self.std]).all():
            raise DataError("a preprocessing contract needs finite means and deviations.")
        if self.stored not in ("uint8", "float32"):
            raise DataError(f"stored images are uint8 or float32, not '{self.stored}'.")
        if self.fit not in ("crop", "letterbox"):
            raise DataError(f"images are fitted by crop or letterbox, not '{self.fit}'.")
        if self.stored == "float32" and (any(self.mean) or any(std != 1 for std in self.std)):
            raise DataError("images that are preprocessed already need mean 0 and deviation 1.")

    @property
    def shape(self) -> Shape:
        """Channels, height, width."""
        return (self.channels, self.height, self.width)

    def resized(self, shape: Shape) -> "Preprocessing":
        """The same normalisation for an input of another shape.

        Raises UsageError where that has no meaning: colours that are normalised each on its own
        have no other number of channels, and finished floats have no other shape.
        """
        channels, height, width = shape
        if shape == self.shape:
            return self
        alike = len(set(self.mean)) == 1 and len(set(self.std)) == 1
        if self.stored == "float32" or (channels != self.channels and not alike):
            raise UsageError(
                f"these images make an input of {_text(self.shape)}, not {_text(shape)}; "
                f"use --input-shape {_text(self.shape)}, or other images."
            )
        mean = self.mean if channels == self.channels else self.mean[:1] * channels
        std = self.std if channels == self.channels else self.std[:1] * channels
        return replace(self, height=height, width=width, channels=channels, mean=mean, std=std)

    def apply(self, images: Stored) -> Floats:
        """Stored pixels (n, h, w, c), uint8, to the network's input (n, channels, height, width).

        Raises DataError for another type, rank, channel count or a larger size.
        """
        if self.stored == "float32":
            return self._finished(images)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(
                f"images must be uint8 of shape (n, height, width, channels), "
                f"not {images.dtype} of shape {images.shape}."
            )
        count, height, width, channels = images.shape
        if channels not in (1, self.channels):
            raise DataError(
                f"the network takes {self.channels} channels and the images have {channels}; "
                "convert them, or use a network for that many."
            )
        if height > self.height or width > self.width:
            raise DataError(
                f"images of {height}x{width} do not fit the network's input of "
                f"{self.height}x{self.width}; resize them or set another --input-shape."
            )
        top, left = (self.height - height) // 2, (self.width - width) // 2
        canvas = np.zeros((count, self.channels, self.height, self.width), np.float32)
        canvas[:, :, top : top + height, left : left + width] = images.transpose(0, 3, 1, 2)
        shape = (1, self.channels, 1, 1)
        scale = np.float32(1 / 255) / np.asarray(self.std, np.float32).reshape(shape)
        shift = np.asarray(self.mean, np.float32).reshape(shape)
        shift = shift / np.asarray(self.std, np.float32).reshape(shape)
        return canvas * scale - shift

    def _finished(self, images: Stored) -> Floats:
        if images.dtype != np.float32 or images.shape[1:] != self.shape:
            raise DataError(
                f"images must be float32 of shape (n, {_text(self.shape)}), as the network takes "
                f"them, not {images.dtype} of shape {images.shape}."
            )
        return images.astype(np.float32, copy=False)

    def to_json(self) -> dict[str, Any]:
        """The stored form; `stored` and `fit` are named only where they are not as in the first."""
        fields = asdict(self)
        for name, first in (("stored", "uint8"), ("fit", "crop")):
            if fields[name] == first:
                del fields[name]
        return {"schema": "preprocessing/1", "layout": "NCHW", "type": "float32", **fields}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Preprocessing":
        """The contract in `value`; raises DataError when it is not one."""
        try:
            return Preprocessing(
                height=int(value["height"]),
                width=int(value["width"]),
                channels=int(value["channels"]),
                mean=tuple(float(number) for number in value["mean"]),
                std=tuple(float(number) for number in value["std"]),
                stored=value.get("stored", "uint8"),
                fit=value.get("fit", "crop"),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DataError(f"not a preprocessing contract: {error!r}.") from error


def natural(shape: Shape) -> Preprocessing:
    """The contract of ordinary photographs for an input of `shape`: ImageNet's statistics."""
    channels, height, width = shape
    if channels == 3:
        return Preprocessing(height, width, channels, *_PHOTOGRAPHS)
    return Preprocessing(height, width, channels, (_GREY[0],) * channels, (_GREY[1],) * channels)


def whole(shape: Shape) -> Preprocessing:
    """The contract of detectors: the whole image, letterboxed, its pixels from 0 to 1."""
    channels, height, width = shape
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    return Preprocessing(height, width, channels, zeros, ones, fit="letterbox")


def finished(shape: Shape) -> Preprocessing:
    """The contract of float32 images that are the network's input already."""
    channels, height, width = shape
    return Preprocessing(height, width, channels, (0.0,) * channels, (1.0,) * channels, "float32")


def _text(shape: Shape) -> str:
    return ",".join(str(size) for size in shape)
