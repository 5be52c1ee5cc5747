"""Where an ONNX file holds weights, for packing."""

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edgewise.targets.packing import Stretch, find

_ITEM_BYTES = {
    TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.INT8: 1, TensorProto.UINT8: 1,
    TensorProto.INT4: 1, TensorProto.INT2: 1,  # several to a byte: a byte is what is packed
}  # fmt: skip


def stretches(content: bytes) -> tuple[Stretch, ...]:
    """Where the constants of a file lie."""
    return find(content, list(_constants(content)))


def _constants(content: bytes) -> Iterator[tuple[bytes, int]]:
    for constant in onnx.load_from_string(content).graph.initializer:
        if constant.data_type in _ITEM_BYTES and constant.raw_data:
            yield constant.raw_data, _ITEM_BYTES[constant.data_type]
