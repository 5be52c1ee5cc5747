"""Which kernels ONNX Runtime really executes each layer with."""

import tempfile
from pathlib import Path

import onnx
from torch import fx

from edgewise.errors import ExportError
from edgewise.graph.cost import node_macs
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.quant.fake import QuantizedLayer
from edgewise.targets.onnx import session
from edgewise.targets.onnx.builder import OUTPUT
from edgewise.targets.onnx.writer import Written
from edgewise.targets.target import LayerExecution

_INTEGER = frozenset({"QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger", "ConvInteger"})
_FLOAT = frozenset({"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul"})
_HELPERS = frozenset({"DequantizeLinear", "Cast", "Transpose", "ReorderInput"})


def audit(network: Network, written: Written) -> tuple[LayerExecution, ...]:
    """The operator of every weighted layer in the optimized graph.

    Raises ExportError, naming them, when layers meant for integers run in float.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph = session.optimized(written.model, Path(folder)).graph
    executions = tuple(
        _execution(network, node, find_operator(graph, written.layers[node.name]))
        for node in network.module.graph.nodes
        if node.name in written.layers
    )
    lost = [entry.layer for entry in executions if entry.meant and not entry.integer]
    if lost:
        raise ExportError(
            f"ONNX Runtime would run {', '.join(lost)} in float although the recipe means int8; "
            "nothing was written. Keep them in float with --keep-float, or report the network."
        )
    return executions


def _execution(network: Network, node: fx.Node, operator: str) -> LayerExecution:
    target = module_of(network.module, node)
    assert isinstance(target, (WeightedLayer, QuantizedLayer))
    meant = isinstance(target, QuantizedLayer)
    weight = target.weight_codes if isinstance(target, QuantizedLayer) else target.weight
    return LayerExecution(
        layer=str(node.meta["path"]),
        operator=operator,
        macs=node_macs(node, target.form, weight.numel()),
        integer=operator in _INTEGER,
        meant=meant,
    )


def find_operator(graph: onnx.GraphProto, name: str) -> str:
    """The operator that runs the layer of that name; `unknown` where nothing tells.

    ONNX Runtime renames nodes but not the codes of weights and biases; float weights it reorders
    and renames, but then the result keeps the name of the layer or of what it fused with it.
    """
    for node in graph.node:
        reads = any(text.startswith((f"{name}.weight", f"{name}.bias")) for text in node.input)
        if reads and node.op_type not in _HELPERS:
            return str(node.op_type)
    for known in (name, OUTPUT):  # the last layer's result bears the output's name alone
        for node in graph.node:
            names = (node.name.removesuffix("_nchwc"), *node.output)
            is_it = any(text == known or text.startswith(f"{known}.") for text in names)
            if is_it and node.op_type in _FLOAT:
                return str(node.op_type)
    return "unknown"
