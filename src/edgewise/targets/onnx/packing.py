"""Codes of fewer than 8 bits, several in a byte."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto


@dataclass(frozen=True)
class Packing:
    """An ONNX type narrower than a byte, and the opset and IR version that brought it."""

    bits: int
    data_type: int
    opset: int
    ir_version: int


_PACKINGS = (Packing(2, TensorProto.INT2, 25, 13), Packing(4, TensorProto.INT4, 21, 10))


def find_packing(bits: int) -> Packing | None:
    """The narrowest that holds signed codes of so many bits; None where they need a byte each."""
    return next((packing for packing in _PACKINGS if bits <= packing.bits), None)


def pack(codes: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Codes as ONNX stores them: the first one in a byte's lowest bits, the last byte filled up."""
    flat = codes.reshape(-1).view(np.uint8)
    per_byte = 8 // bits
    packed = np.zeros(-(-flat.size // per_byte), np.uint8)
    for place in range(per_byte):
        part = flat[place::per_byte] & np.uint8(2**bits - 1)
        packed[: part.size] |= part << np.uint8(place * bits)
    return packed
