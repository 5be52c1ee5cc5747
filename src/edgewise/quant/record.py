"""The quantizer record: every quantized tensor of a network, as data."""

from typing import Any

from torch import fx

from edgewise.graph.network import module_of
from edgewise.quant.fake import FakeQuantize, QuantizedLayer

SCHEMA = "quantizers/1"


def quantizer_record(module: fx.GraphModule, profile: str) -> dict[str, Any]:
    """Format, scale, zero point and axis of every quantized tensor, in the order they run."""
    tensors: list[dict[str, Any]] = []
    for node in module.graph.nodes:
        target = module_of(module, node)
        if isinstance(target, FakeQuantize):
            tensors.append(_activation(node, target))
        elif isinstance(target, QuantizedLayer):
            tensors.extend(_layer(target))
    return {"schema": SCHEMA, "profile": profile, "tensors": tensors}


def _activation(node: fx.Node, quantizer: FakeQuantize) -> dict[str, Any]:
    return {
        "tensor": node.name,
        "role": "activation",
        "layer": node.meta["path"],
        "group": str(node.target),
        "type": quantizer.kind.name,
        "scale": float(quantizer.scale),
        "zero_point": int(quantizer.zero_point),
    }


def _layer(layer: QuantizedLayer) -> list[dict[str, Any]]:
    weights = {
        "tensor": f"{layer.form.path}.weight",
        "role": "weight",
        "layer": layer.form.path,
        "type": layer.kind.name,
        "axis": layer.form.out_axis,
        "scale": layer.scale.tolist(),
        "zero_point": 0,
    }
    if layer.bias_codes is None:
        return [weights]
    bias = {
        "tensor": f"{layer.form.path}.bias",
        "role": "bias",
        "layer": layer.form.path,
        "type": "int32",
        "axis": 0,
        "scale": layer.step.tolist(),
        "zero_point": 0,
    }
    return [weights, bias]
