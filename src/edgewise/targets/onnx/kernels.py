"""For which processors' kernels weights are laid out.

ONNX Runtime convolves with a kernel of its own where the weights' zero point is 0, and multiplies
matrices where it is not. Only the latter uses AMX, the matrix unit of newer Intel processors. Codes
are within [-127, 127], so each can be stored one lower and read with zero point -1: the same
weights, the same sums. Processors without AMX, and other runtimes, have nothing of it.
"""

from edgewise.quant.fake import QuantizedLayer
from edgewise.targets.target import ANY

AMX = "amx"
PLAIN = "plain"  # every layer as the network has it: for other runtimes, which know forms of theirs
KERNELS = (ANY, AMX)
KERNELS_KEY = "edgewise.kernels"  # in the artifact's metadata, where not of any processor
_LEAST_INPUTS = 128  # channels below which copying the windows takes longer than AMX saves
_BITS = 8  # narrower codes are stored packed, and have no code to spare
_LOWEST = -127


def zero_code(layer: QuantizedLayer, kernels: str) -> int:
    """The code that weights of zero are stored as; the others are moved alike."""
    if kernels != AMX or layer.form.kind != "conv2d" or layer.kind.bits != _BITS:
        return 0
    codes = layer.weight_codes
    deep = layer.form.geometry["groups"] == 1 and codes.shape[1] >= _LEAST_INPUTS
    return -1 if deep and int(codes.min()) >= _LOWEST else 0
