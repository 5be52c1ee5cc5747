"""What OpenVINO makes of operations, where it is not what every target does."""

from onnx_operations import OPERATIONS as ONNX
from target_operations import CODES, Operations

_CODES = {name: one for name, one in CODES.items() if name != "add"} | {
    name: {**ONNX.codes, **ONNX.islands}[name]
    for name in (
        "relu6", "avg_pool2d padded", "avg_pool2d ceil in vain", "hardswish", "tanh",
        "mean of one axis", "clamp", "clamp_max",
    )
}  # fmt: skip

OPERATIONS = Operations(
    codes=_CODES,
    # A sum takes what is added before it is rounded; of the rest no kernel reads codes.
    islands={
        name: one for name, one in {**ONNX.codes, **ONNX.islands}.items() if name not in _CODES
    },
    floats=ONNX.floats,
    refused=ONNX.refused,
)
