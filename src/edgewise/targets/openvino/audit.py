"""Which kernels OpenVINO really executes each layer with."""

from collections.abc import Collection, Sequence

import onnx
from torch import fx

from edgewise.errors import ExportError
from edgewise.graph.cost import node_macs
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.fake import QuantizedLayer
from edgewise.quant.stored import StoredLayer
from edgewise.targets.onnx.audit import find_ends
from edgewise.targets.onnx.writer import Written
from edgewise.targets.openvino.session import Operator
from edgewise.targets.target import LayerExecution

_WEIGHTED = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_SEVERAL = "Subgraph"  # operations in a row, compiled into one, small matrix products too
UNKNOWN = "unknown"


def audit(
    network: Network, written: Written, operators: Sequence[Operator]
) -> tuple[LayerExecution, ...]:
    """The operator of every weighted layer in the compiled graph.

    A layer whose weights are codes in the file alone, and that reads codes, may run on integers:
    its sums are exact then. Raises ExportError, naming them, when layers meant for integers run in
    float, or others with float weights on integers.
    """
    found = find_operators(written.model.graph, written.layers.values(), operators)
    executions = []
    strays = []
    for node in network.module.graph.nodes:
        if node.name not in written.layers:
            continue
        one = _execution(network, node, found[written.layers[node.name]])
        executions.append(one)
        if one.integer and isinstance(module_of(network.module, node), WeightedLayer):
            strays.append(one.layer)
    lost = [one.layer for one in executions if one.meant and not one.integer]
    if lost:
        raise ExportError(
            f"OpenVINO would run {', '.join(lost)} in float although the recipe means integers; "
            "nothing was written. Keep them in float with --keep-float, or report the network."
        )
    if strays:
        raise ExportError(
            f"OpenVINO would round the weights of {', '.join(strays)} to integers although the "
            "recipe keeps them in float; nothing was written. Quantize them too, or report the "
            "network."
        )
    return tuple(executions)


def _execution(network: Network, node: fx.Node, operator: Operator | None) -> LayerExecution:
    target = module_of(network.module, node)
    assert isinstance(target, (WeightedLayer, StoredLayer, QuantizedLayer, DynamicLayer))
    weight = target.weight if isinstance(target, WeightedLayer) else target.weight_codes
    return LayerExecution(
        layer=str(node.meta["path"]),
        operator=shown(operator),
        macs=node_macs(node, target.form, weight.numel()),
        integer=operator is not None and operator.on_integers,
        meant=isinstance(target, (QuantizedLayer, DynamicLayer)),
    )


def shown(operator: Operator | None) -> str:
    """What an operator is called: its kind, and the kernel that says how it computes."""
    return UNKNOWN if operator is None else f"{operator.kind} {operator.kernel}"


def find_operators(
    graph: onnx.GraphProto, layers: Collection[str], operators: Sequence[Operator]
) -> dict[str, Operator | None]:
    """The operator that runs each layer of a written graph; None where nothing tells.

    Where one layer alone is not found and one operator of its kind is left, it is that: the runtime
    renames what it joins with constants.
    """
    ends = find_ends(graph, layers)
    found = {name: _find(operators, name, ends.get(name)) for name in layers}
    lost = [name for name, operator in found.items() if operator is None]
    taken = [operator for operator in found.values() if operator is not None]
    left = [one for one in operators if one.kind in _WEIGHTED and one not in taken]
    if len(lost) == len(left) == 1:
        found[lost[0]] = left[0]
    return found


def _find(operators: Sequence[Operator], name: str, end: str | None = None) -> Operator | None:
    """The operator that runs the layer of that name; None where nothing tells.

    end: the output that its result becomes, which is all that some operators are called by.
    """
    for kinds in (_WEIGHTED, {_SEVERAL}):
        for known in (name, *([end] if end else ())):
            for one in operators:
                if one.kind in kinds and any(_is_of(layer, known) for layer in one.layers):
                    return one
    return None


def _is_of(layer: str, name: str) -> bool:
    """Whether an operation is of the layer of that name; a part of it bears more than the name."""
    return layer == name or layer.startswith((f"{name}/", f"{name}."))
