"""Which layers LiteRT executes on integers, and by which kernels.

The runtime has no profile by operator that Python can read. The types of an operator's tensors
decide on what it computes: integer weights that it reads as they are mean integers, whether its
input is codes or becomes codes as it comes. What the runtime does tell, once it has loaded a model,
is which tensors its XNNPACK part reads; a layer whose weights are not among them runs on the
runtime's plain kernels.
"""

import math

from ai_edge_litert import schema_py_generated as schema
from torch import fx

from edgewise.errors import ExportError
from edgewise.graph.cost import node_macs
from edgewise.graph.network import Network, module_of
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.fake import QuantizedLayer
from edgewise.targets.target import LayerExecution
from edgewise.targets.tflite import session
from edgewise.targets.tflite.writer import Written

INTEGERS = frozenset({schema.TensorType.INT8, schema.TensorType.INT4})

_ON_INTEGERS = (QuantizedLayer, DynamicLayer)  # as a recipe means them


def audit(network: Network, written: Written, content: bytes) -> tuple[LayerExecution, ...]:
    """The operator of every weighted layer of a model; content: as a file.

    Raises ExportError, naming them, when layers meant for integers would run in float.
    """
    fast = session.delegated(content)
    executions = tuple(
        _execution(network, node, written, fast)
        for node in network.module.graph.nodes
        if node.name in written.layers
    )
    lost = [entry.layer for entry in executions if entry.meant and not entry.integer]
    if lost:
        raise ExportError(
            f"LiteRT would run {', '.join(lost)} in float although the recipe means integers; "
            "nothing was written. Keep them in float with --keep-float, or report the network."
        )
    return executions


def _execution(
    network: Network, node: fx.Node, written: Written, fast: frozenset[int]
) -> LayerExecution:
    layer = written.layers[node.name]
    is_fast = layer.weight.index in fast or layer.stored.index in fast
    kind = written.model.subgraphs[0].tensors[layer.weight.index].type
    dynamic = isinstance(module_of(network.module, node), DynamicLayer)
    operator = f"dynamic {layer.operator}" if dynamic else layer.operator
    return LayerExecution(
        layer=str(node.meta["path"]),
        operator=operator if is_fast else f"{operator} without XNNPACK",
        macs=node_macs(node, layer.form, math.prod(layer.weight.shape)),
        integer=kind in INTEGERS,
        meant=isinstance(module_of(network.module, node), _ON_INTEGERS),
    )
