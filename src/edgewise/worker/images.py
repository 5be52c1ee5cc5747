"""The preprocessing contract on the device: numpy's twin of edgewise.data.preprocess.

A test holds the two bitwise equal, so the operations and their order are the same here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .job import WorkerError

_SCHEMA = "preprocessing/1"


def load(name: str) -> NDArray[Any]:
    """The array `images` of an .npz file; raises WorkerError when there is none."""
    try:
        with np.load(name, allow_pickle=False) as archive:
            images: NDArray[Any] = archive["images"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise WorkerError(f"{name} holds no images: {error}.") from error
    if images.ndim != 4 or not len(images):
        raise WorkerError(f"{name} holds an array of shape {images.shape}, not a row of images.")
    return images


def prepare(images: NDArray[Any], contract: Mapping[str, Any] | None) -> NDArray[np.float32]:
    """The network's input (n, channels, height, width) from images as they are stored."""
    if contract is None or contract.get("schema") != _SCHEMA:
        known = None if contract is None else contract.get("schema")
        raise WorkerError(f"images need a preprocessing contract of {_SCHEMA}, not {known}.")
    try:
        if contract.get("stored", "uint8") == "float32":
            return _finished(images, contract)
        return _apply(images, contract)
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerError(f"not a preprocessing contract: {error!r}.") from error


def _finished(images: NDArray[Any], contract: Mapping[str, Any]) -> NDArray[np.float32]:
    """Images that are the network's input already."""
    shape = (contract["channels"], contract["height"], contract["width"])
    if images.dtype != np.float32 or images.shape[1:] != shape:
        raise WorkerError(
            f"images must be float32 of shape (n, {', '.join(map(str, shape))}), "
            f"not {images.dtype} of shape {images.shape}."
        )
    return images.astype(np.float32, copy=False)


def _apply(images: NDArray[Any], contract: Mapping[str, Any]) -> NDArray[np.float32]:
    channels = int(contract["channels"])
    size = int(contract["height"]), int(contract["width"])
    count, height, width, stored = images.shape
    if images.dtype != np.uint8 or stored not in (1, channels):
        raise WorkerError(
            f"images must be uint8 of shape (n, height, width, 1 or {channels}), "
            f"not {images.dtype} of shape {images.shape}."
        )
    if height > size[0] or width > size[1]:
        raise WorkerError(f"images of {height}x{width} do not fit an input of {size[0]}x{size[1]}.")
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas = np.zeros((count, channels, *size), np.float32)
    canvas[:, :, top : top + height, left : left + width] = images.transpose(0, 3, 1, 2)
    shape = (1, channels, 1, 1)
    deviation = np.asarray(contract["std"], np.float32).reshape(shape)
    scale = np.float32(1 / 255) / deviation
    shift = np.asarray(contract["mean"], np.float32).reshape(shape) / deviation
    result: NDArray[np.float32] = canvas * scale - shift
    return result
