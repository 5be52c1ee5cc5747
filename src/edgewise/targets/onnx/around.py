"""What convolutions and quantizers take over of the operations around them."""

from typing import Any

from torch import fx, nn

from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import module_of, operation
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.insert import find_source
from edgewise.quant.integer import CLIPS, clip_bounds, code_bounds
from edgewise.quant.stored import StoredLayer
from edgewise.targets.calls import zeros_around
from edgewise.targets.onnx.writing import unsupported

LAYERS = (WeightedLayer, QuantizedLayer, StoredLayer)
_BOUNDS = frozenset({*CLIPS, "clamp", "clamp_min", "clamp_max"})  # written as Relu or Clip


def clips_codes(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether an activation, or one of several in a row, is left to the quantizer after it,
    which clips codes anyway.

    Not where codes come in: between two quantizers the runtime wants an operation.
    """
    one_reader = operation(module, node) in CLIPS and len(node.users) == 1
    if not one_reader or find_source(module, node) is not None:
        return False
    (reader,) = node.users
    return isinstance(module_of(module, reader), FakeQuantize) or clips_codes(module, reader)


def code_bounds_at(module: fx.GraphModule, call: fx.Node) -> tuple[int, int]:
    """The lowest and the highest code after a quantizer and the activations left to it."""
    quantizer = module_of(module, call)
    assert isinstance(quantizer, FakeQuantize)
    clips = []
    producer = call.all_input_nodes[0]
    while clips_codes(module, producer):
        clips.append(clip_bounds(producer, operation(module, producer)))
        producer = producer.all_input_nodes[0]
    return code_bounds(quantizer, clips[::-1])


def quantizer_after(module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The quantizer that alone reads a layer's result, at once or past what is left to it."""
    while len(node.users) == 1:
        (node,) = node.users
        if isinstance(module_of(module, node), FakeQuantize):
            return node
        if not clips_codes(module, node):
            return None
    return None


def pads_convolution(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a pad is left to the only reader, a convolution, which pads anyway."""
    if operation(module, node) not in ("pad", "constant_pad_nd") or len(node.users) != 1:
        return False
    before, after = zeros_around(node, unsupported)
    layer = module_of(module, next(iter(node.users)))
    if not isinstance(layer, LAYERS) or layer.form.kind != "conv2d":
        return False
    return before[:2] == after[:2] == [0, 0] and min(*before, *after) >= 0


def stands_between_codes(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a layer reads codes, and a quantizer follows it, at once or past clips.

    Not a MatMul, whose weights the runtime leaves alone.
    """
    is_matmul = operation(module, node) == "linear" and len(node.meta["shape"]) != 2
    if is_matmul or find_source(module, node) is None:
        return False
    while len(node.users) == 1:
        (node,) = node.users
        if isinstance(module_of(module, node), FakeQuantize):
            return True
        if operation(module, node) not in _BOUNDS:
            return False
    return False


def is_bare_product(node: fx.Node, layer: QuantizedLayer) -> bool:
    """Whether a layer is an integer matrix product without a bias."""
    is_product = layer.form.kind == "linear" and layer.bias_codes is None
    return is_product and len(node.meta["shape"]) == 2


def picks_pixels(layer: nn.Module) -> bool:
    """Whether a layer is an integer convolution of one pixel in some, not of all pixels."""
    if not isinstance(layer, QuantizedLayer) or layer.form.kind != "conv2d":
        return False
    geometry = layer.form.geometry
    one_pixel = tuple(layer.weight_codes.shape[2:]) == (1, 1) and not any(geometry["padding"])
    return one_pixel and max(geometry["stride"]) > 1


def attributes_of(module: fx.GraphModule, node: fx.Node, form: Form) -> dict[str, Any]:
    """The attributes of a convolution's node, with the pad that is left to it."""
    geometry = form.geometry
    pads = [*geometry["padding"], *geometry["padding"]]
    source = node.all_input_nodes[0]
    if pads_convolution(module, source):
        before, after = zeros_around(source, unsupported)
        extra = [*before[2:], *after[2:]]
        pads = [one + other for one, other in zip(pads, extra, strict=True)]
    attributes = {
        "strides": list(geometry["stride"]),
        "pads": pads,
        "dilations": list(geometry["dilation"]),
        "group": int(geometry["groups"]),
    }
    if form.kind == "conv_transpose2d":
        attributes["output_padding"] = list(geometry["output_padding"])
    return attributes
