"""Codes of four bits, two in a byte."""

import numpy as np
from numpy.typing import NDArray


def pack_nibbles(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Codes as TFLite stores them: the first of two in the lower bits, the last byte filled up."""
    flat = codes.reshape(-1).view(np.uint8) & np.uint8(15)
    padded = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    packed: NDArray[np.uint8] = padded[::2] | (padded[1::2] << np.uint8(4))
    return packed
