"""Quantized convolutions whose weights no cache holds, computed in parts of their outputs.

ONNX Runtime computes some positions of all output channels, then the next positions, and reads the
weights every time. A part of the channels whose weights stay in a core's cache is computed for all
positions before the next one. Every channel is the same sum as before: no answer changes.
"""

from edgewise.quant.fake import QuantizedLayer

_CACHED = 2**21  # bytes: the second cache of a core, where it is large
_OF_A_PART = 5 * 2**18  # what leaves it room for the image
_POSITIONS = 30  # so few are computed at once
_TOGETHER = 64  # output channels that the kernels compute at a time
_PART = ".part_"


def count_parts(layer: QuantizedLayer, positions: int) -> int:
    """In how many equal parts a layer is faster; 1 is as it is.

    positions: height times width of its result.
    """
    codes = layer.weight_codes
    if layer.form.kind != "conv2d" or layer.form.geometry["groups"] != 1:
        return 1
    blocks, left = divmod(len(codes), _TOGETHER)
    if codes.numel() <= _CACHED or positions <= _POSITIONS or left:
        return 1
    small = (n for n in range(2, blocks + 1) if codes.numel() <= n * _OF_A_PART)
    return next((count for count in small if blocks % count == 0), blocks)


def names_of_parts(layer: str, count: int) -> list[str]:
    """What the nodes of a layer are called."""
    return [f"{layer}{_PART}{place}" for place in range(count)]


def layer_of(name: str) -> str | None:
    """The layer that a node is, or is the first part of; None where it is a further part."""
    layer, _, place = name.partition(_PART)
    return layer if place in ("", "0") else None
