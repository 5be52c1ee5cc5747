"""A freshly exported graph, made easy to read: nothing in place, no computed constants, and every
activation under one name.
"""

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from edgewise.errors import CaptureError
from edgewise.graph.network import operation

_aten = torch.ops.aten

# Results that may share memory with their input.
_VIEWS = frozenset(
    {
        "view", "reshape", "flatten", "unflatten", "slice", "select", "narrow", "chunk", "split",
        "split_with_sizes", "tensor_split", "unbind", "getitem", "transpose", "permute", "t",
        "movedim", "squeeze", "unsqueeze", "expand", "expand_as", "alias", "detach", "contiguous",
        "dropout", "feature_dropout", "to", "diagonal", "unfold", "view_as",
    }
)  # fmt: skip
_CREATE = frozenset({"arange", "zeros", "ones", "full", "linspace", "scalar_tensor", "eye"})


def path_of(node: fx.Node) -> str:
    """Where in the user's module an exported node comes from; empty for its own forward."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(entry[0]) for entry in stack.values()]
    # A module that is called again is marked with @ and a count.
    return paths[-1].partition("@")[0].removeprefix("L__self__").lstrip(".") if paths else ""


def make_functional(module: fx.GraphModule) -> None:
    """Replace in-place operations by their functional twins; later readers read the new value.

    Raises CaptureError where something else that shares the changed memory is read afterwards: no
    functional twin says what it would see.
    """
    for node in list(module.graph.nodes):
        packet = getattr(node.target, "overloadpacket", None)
        if packet is None or not str(packet).endswith("_") or str(packet).endswith("__"):
            continue
        twin = getattr(_aten, str(packet).rsplit(".", 1)[-1][:-1], None)
        overload = getattr(node.target, "_overloadname", "")
        if twin is None or overload not in twin.overloads():
            raise CaptureError(
                f"{packet} at '{path_of(node) or node.name}' changes its input and has no twin."
            )
        changed = node.args[0]
        assert isinstance(changed, fx.Node)
        _refuse_seen_elsewhere(module, node, changed)
        node.target = getattr(twin, overload)
        for user in list(changed.users):
            if user > node:
                user.replace_input_with(changed, node)


def _refuse_seen_elsewhere(module: fx.GraphModule, node: fx.Node, changed: fx.Node) -> None:
    root = changed
    while operation(module, root) in _VIEWS:
        root = root.all_input_nodes[0]
    for alias in _aliases(module, root):
        if alias is not changed and any(user > node for user in alias.users):
            raise CaptureError(
                f"{node.target} at '{path_of(node) or node.name}' changes a part of a tensor in "
                "place, and the rest of it is read afterwards; make a new tensor there."
            )


def _aliases(module: fx.GraphModule, node: fx.Node) -> Iterator[fx.Node]:
    yield node
    for user in node.users:
        if operation(module, user) in _VIEWS and user.all_input_nodes[0] is node:
            yield from _aliases(module, user)


@torch.no_grad()
def fold_constants(module: fx.GraphModule) -> None:
    """Compute what depends on parameters alone, such as standardized weights, once and for all."""
    for node in list(module.graph.nodes):
        values = {source: _tensor(module, source) for source in node.all_input_nodes}
        is_known = all(value is not None for value in values.values())
        if node.op != "call_function" or not is_known:
            continue
        if not values and operation(module, node) not in _CREATE:
            continue
        result = node.target(
            *fx.node.map_arg(node.args, values.__getitem__),
            **fx.node.map_arg(node.kwargs, values.__getitem__),
        )
        if isinstance(result, Tensor):
            _replace_by_constant(module, node, result)


def _tensor(module: fx.GraphModule, node: fx.Node) -> Tensor | None:
    if node.op != "get_attr":
        return None
    found = operator.attrgetter(str(node.target))(module)
    return found.detach() if isinstance(found, Tensor) else None


def _replace_by_constant(module: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    name = f"constant_{node.name}"
    module.register_buffer(name, value.clone())
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
    constant.meta = dict(node.meta)
    node.replace_all_uses_with(constant)
    module.graph.erase_node(node)


def simplify(module: fx.GraphModule) -> None:
    """Write activations in one way, whichever way the user wrote them.

    silu becomes x * sigmoid(x), whose parts have integer kernels; clamps around zero become relu or
    hardtanh; relu6(x + 3) / 6 becomes hardsigmoid, and x times that hardswish.
    """
    for node in list(module.graph.nodes):
        kind = operation(module, node)
        if kind == "silu":
            gate = _call(module, node, _aten.sigmoid.default, (node.args[0],))
            _become(module, node, _aten.mul.Tensor, (node.args[0], gate))
        elif kind in ("clamp", "clamp_min"):
            _simplify_clamp(module, node)
    for node in list(module.graph.nodes):
        kind = operation(module, node)
        sixth = (kind == "div" and _is_number(node, 1, 6.0)) or _is_number(node, 1, 1 / 6)
        if sixth and kind in ("div", "mul"):
            _match_division(module, node)
        elif kind == "mul":
            _match_product(module, node)


def _simplify_clamp(module: fx.GraphModule, node: fx.Node) -> None:
    low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min")
    high = node.args[2] if len(node.args) > 2 else node.kwargs.get("max")
    if low == 0 and high is None:
        _become(module, node, _aten.relu.default, (node.args[0],))
    elif isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= 0 <= high:
        _become(module, node, _aten.hardtanh.default, (node.args[0], low, high))


def _match_division(module: fx.GraphModule, node: fx.Node) -> None:
    """relu6(x + 3) / 6, and x * relu6(x + 3) / 6."""
    above = node.args[0]
    shifted = _shifted(module, above)
    if shifted is not None:
        _become(module, node, _aten.hardsigmoid.default, (shifted,))
    elif isinstance(above, fx.Node) and operation(module, above) == "mul" and _alone(above):
        one, other = above.args[0], above.args[1]
        for value, gate in ((one, other), (other, one)):
            if _shifted(module, gate) is value and value is not None:
                _become(module, node, _aten.hardswish.default, (value,))
                return


def _match_product(module: fx.GraphModule, node: fx.Node) -> None:
    """x * hardsigmoid(x)."""
    for value, gate in (node.args[:2], node.args[1::-1]):
        if not isinstance(gate, fx.Node) or operation(module, gate) != "hardsigmoid":
            continue
        if gate.args[0] is value and _alone(gate):
            _become(module, node, _aten.hardswish.default, (value,))
            return


def _shifted(module: fx.GraphModule, node: Any) -> fx.Node | None:
    """The x of a relu6(x + 3) that nothing else reads."""
    if not isinstance(node, fx.Node) or not _alone(node):
        return None
    kind, added = operation(module, node), node.args[0]
    if kind != "relu6" and not (kind == "hardtanh" and list(node.args[1:3]) == [0, 6]):
        return None
    if not isinstance(added, fx.Node) or operation(module, added) != "add" or not _alone(added):
        return None
    first, second = added.args[:2]
    source = first if _is_number(added, 1, 3.0) else second if _is_number(added, 0, 3.0) else None
    return source if isinstance(source, fx.Node) and not added.kwargs else None


def _alone(node: fx.Node) -> bool:
    return len(node.users) == 1


def _is_number(node: fx.Node, index: int, value: float) -> bool:
    given = node.args[index] if len(node.args) > index else None
    return isinstance(given, (int, float)) and abs(given - value) < 1e-6


def _call(module: fx.GraphModule, node: fx.Node, target: Any, arguments: Sequence[Any]) -> fx.Node:
    with module.graph.inserting_before(node):
        call = module.graph.call_function(target, tuple(arguments))
    call.meta = dict(node.meta)
    return call


def _become(module: fx.GraphModule, node: fx.Node, target: Any, arguments: Sequence[Any]) -> None:
    node.replace_all_uses_with(_call(module, node, target, arguments))
    module.graph.erase_node(node)
