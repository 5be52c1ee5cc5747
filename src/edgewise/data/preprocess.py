"""The preprocessing contract: one object from training to the device."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """How stored pixels become the network's input; stored with weights and inside artifacts.

    height, width: the network's input size in pixels; smaller images are zero-padded around their
    centre, larger ones are refused (readers of folders resize while decoding);
    channels: 1 or 3, a single stored channel is repeated;
    mean, std: per channel, on the scale where a pixel is 0 to 1.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise DataError(
                f"a preprocessing contract for {self.channels} channels needs as many means and "
                f"standard deviations, not {len(self.mean)} and {len(self.std)}."
            )
        if min(self.height, self.width, self.channels) < 1 or min(self.std) <= 0:
            raise DataError("a preprocessing contract needs positive sizes and deviations.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (self.channels, self.height, self.width)

    def apply(self, images: Pixels) -> Floats:
        """Stored pixels (n, h, w, c), uint8, to the network's input (n, channels, height, width).

        Raises DataError for another type, rank, channel count or a larger size.
        """
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

    def to_json(self) -> dict[str, Any]:
        return {"schema": "preprocessing/1", "layout": "NCHW", "type": "float32", **asdict(self)}

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
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a preprocessing contract: {error!r}.") from error
