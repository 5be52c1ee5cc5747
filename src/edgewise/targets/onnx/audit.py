"""Which kernels ONNX Runtime really executes each layer with."""

from collections.abc import Collection, Iterator

import onnx
from torch import fx

from edgewise.errors import ExportError
from edgewise.graph.cost import node_macs
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.fake import QuantizedLayer
from edgewise.quant.stored import StoredLayer
from edgewise.targets.onnx.writer import Written
from edgewise.targets.target import LayerExecution

_INTEGER = frozenset(
    {
        "QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger", "ConvInteger",
        "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
    }
)  # fmt: skip
_FLOAT = frozenset({"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul"})
_HELPERS = frozenset({"DequantizeLinear", "Cast", "Transpose", "ReorderInput"})
_WITH_SCALES = frozenset({"QLinearConv", "QGemm", "QLinearMatMul"})  # between inputs and weights

_ON_INTEGERS = (QuantizedLayer, DynamicLayer)  # as a recipe means them


def audit(network: Network, written: Written, graph: onnx.GraphProto) -> tuple[LayerExecution, ...]:
    """The operator of every weighted layer in the optimized graph.

    Raises ExportError, naming them, when layers meant for integers run in float, or the runtime
    rounds the weights of others.
    """
    ends = find_ends(written.model.graph, written.layers.values())
    names = {node: written.layers.get(node.name, "") for node in network.module.graph.nodes}
    executions = tuple(
        _execution(network, node, _operator(written, graph, name, ends.get(name)))
        for node, name in names.items()
        if name
    )
    lost = [entry.layer for entry in executions if entry.meant and not entry.integer]
    if lost:
        raise ExportError(
            f"ONNX Runtime would run {', '.join(lost)} in float although the recipe means "
            "integers; nothing was written. Keep them in float with --keep-float, or report the "
            "network."
        )
    _refuse_rounded(network, written, graph)
    return executions


def _refuse_rounded(network: Network, written: Written, graph: onnx.GraphProto) -> None:
    """Raise ExportError where weights are integers that the recipe means in float."""
    paths = {
        written.layers[node.name]: (str(node.meta["path"]), module_of(network.module, node))
        for node in network.module.graph.nodes
        if node.name in written.layers
    }
    meant = tuple(
        f"{part}.weight"
        for name, (_, layer) in paths.items()
        if isinstance(layer, _ON_INTEGERS)
        for part in written.computing(name)
    )
    strays = [name for name in _rounded_weights(graph) if not name.startswith(meant)]
    # The runtime calls weights that it rounds by the layer's name and something of its own.
    layers = [
        next((path for known, (path, _) in paths.items() if name.startswith(f"{known}_w")), name)
        for name in strays
    ]
    if layers:
        raise ExportError(
            f"ONNX Runtime would round the weights of {', '.join(layers)} to integers although the "
            "recipe keeps them in float; nothing was written. Quantize them too, or report the "
            "network."
        )


def _rounded_weights(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the constants that layers multiply by as integers, or as what integers stand for."""
    constants = {init.name for init in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type not in _INTEGER | _FLOAT:
            continue
        name, rounded = node.input[3 if node.op_type in _WITH_SCALES else 1], False
        while name in producers and producers[name].op_type in _HELPERS:
            rounded |= producers[name].op_type == "DequantizeLinear"
            name = producers[name].input[0]
        if name in constants and (rounded or node.op_type in _INTEGER):
            yield name


def _operator(written: Written, graph: onnx.GraphProto, name: str, end: str | None) -> str:
    """What runs a layer; of its parts, the one that is not on integers."""
    found = [find_operator(graph, part, end) for part in written.computing(name)]
    return next((operator for operator in found if operator not in _INTEGER), found[0])


def _execution(network: Network, node: fx.Node, operator: str) -> LayerExecution:
    target = module_of(network.module, node)
    assert isinstance(target, (WeightedLayer, StoredLayer, *_ON_INTEGERS))
    meant = isinstance(target, _ON_INTEGERS)
    weight = target.weight if isinstance(target, WeightedLayer) else target.weight_codes
    return LayerExecution(
        layer=str(node.meta["path"]),
        operator=operator,
        macs=node_macs(node, target.form, weight.numel()),
        integer=operator in _INTEGER,
        meant=meant,
    )


def find_ends(graph: onnx.GraphProto, layers: Collection[str]) -> dict[str, str]:
    """Layer -> the output of a written graph that its result becomes; not of layers further in."""
    producers = {output: node for node in graph.node for output in node.output}
    found: dict[str, str] = {}
    for output in graph.output:
        names, seen = [output.name], set[str]()
        while names:
            name = names.pop()
            if name in layers:
                found[name] = output.name
            elif name in producers and name not in seen:
                names.extend(producers[name].input)
            seen.add(name)
    return found


def find_operator(graph: onnx.GraphProto, name: str, end: str | None = None) -> str:
    """The operator that runs the layer of that name; `unknown` where nothing tells.

    end: the output that its result becomes.
    """
    node = find_node(graph, name, end)
    return "unknown" if node is None else str(node.op_type)


def find_node(graph: onnx.GraphProto, name: str, end: str | None = None) -> onnx.NodeProto | None:
    """The node that runs the layer of that name; None where nothing tells.

    ONNX Runtime renames nodes but not the codes of weights and biases; float weights it reorders
    and renames, but then the result keeps the name of the layer or of what it fused with it.
    """
    for role in ("weight", "bias"):  # equal biases are stored once, under the name of any of them
        for node in graph.node:
            reads = any(text.startswith(f"{name}.{role}") for text in node.input)
            if reads and node.op_type not in _HELPERS:
                return node
    # The last layer's result bears the output's name alone.
    for known in (name, *([end] if end else ())):
        for node in graph.node:
            names = (node.name.removesuffix("_nchwc"), *node.output)
            is_it = any(text == known or text.startswith(f"{known}.") for text in names)
            if is_it and node.op_type in _FLOAT:
                return node
    return None
