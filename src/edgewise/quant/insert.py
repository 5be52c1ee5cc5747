"""Put quantizers into a graph, as a placement says."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from edgewise.errors import RecipeError
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of, operation
from edgewise.quant.affine import affine_parameters, symmetric_parameters
from edgewise.quant.assign import Assignment
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.observers import RangeMethod, min_max
from edgewise.quant.placement import PASS, Placement
from edgewise.quant.profiles import Profile
from edgewise.quant.scheme import IntType

_FIXED_BITS = 8

Quantizers = Callable[[IntType, Tensor, Tensor], FakeQuantize]
Layers = Callable[[WeightedLayer, IntType, FakeQuantize], nn.Module]


@dataclass(frozen=True)
class Insertion:
    """What to put where.

    placement: which tensors and layers; assignment: their bits; method: from histogram to range;
    quantizer, layer: what to make of a format and its parameters, of a float layer and its format.
    """

    placement: Placement
    profile: Profile
    assignment: Assignment
    method: RangeMethod
    quantizer: Quantizers = FakeQuantize
    layer: Layers = QuantizedLayer.of


@torch.no_grad()
def insert(network: Network, given: Insertion) -> None:
    """Insert activation quantizers and replace the placed layers by their integer form, in place.

    Raises RecipeError when a tensor has no calibrated range.
    """
    module, placement = network.module, given.placement
    schemes = given.assignment.layers(network, placement)
    bits = given.assignment.activation_bits(network, placement, schemes)
    free = {group: _free_name(module, group) for group in placement.groups.values()}
    for group, name in free.items():
        members = [node for node, its in placement.groups.items() if its == group]
        kind = given.profile.activations(bits[group])
        module.add_submodule(name, _quantizer(network, members, given, kind))
    for node, group in placement.groups.items():
        with module.graph.inserting_after(node):
            call = module.graph.call_module(free[group], (node,))
        call.meta = {**node.meta, "path": _producer(module, node, given.profile).meta["path"]}
        for reader in [user for user in node.users if user is not call]:
            reader.replace_input_with(node, call)
    for node in placement.layers:
        layer = module_of(module, node)
        assert isinstance(layer, WeightedLayer)
        source = find_source(module, node)
        assert source is not None, f"{node} is placed on integers and its input is not quantized"
        quantizer = module_of(module, source)
        assert isinstance(quantizer, FakeQuantize)
        made = given.layer(layer, schemes[node].weights, quantizer)
        module.set_submodule(str(node.target), made)
    module.graph.lint()
    module.recompile()


def _free_name(module: fx.GraphModule, name: str) -> str:
    """The name, or one like it that no layer of the user's has."""
    while hasattr(module, name):
        name += "_"
    return name


def _producer(module: fx.GraphModule, node: fx.Node, profile: Profile) -> fx.Node:
    """The layer before a fused activation, else the node: whose output a quantizer rounds."""
    before = node.all_input_nodes[0] if node.all_input_nodes else node
    fused = operation(module, node) in profile.fused and len(before.users) == 1
    return before if fused and isinstance(module_of(module, before), WeightedLayer) else node


def find_source(module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The call of the quantizer whose codes reach a node's first input unchanged, or None."""
    source = node.all_input_nodes[0]
    while operation(module, source) in PASS:
        source = source.all_input_nodes[0]
    return source if isinstance(module_of(module, source), FakeQuantize) else None


def _quantizer(
    network: Network, members: list[fx.Node], given: Insertion, kind: IntType
) -> FakeQuantize:
    missing = [node.name for node in members if node.name not in network.ranges]
    if missing:
        raise RecipeError(
            f"{', '.join(missing)} have no calibrated range; calibrate before quantizing."
        )
    fixed = given.profile.fixed.get(operation(network.module, members[0]))
    if fixed is not None and len(members) == 1 and kind.bits == _FIXED_BITS:
        return given.quantizer(kind, torch.tensor(fixed[0]), torch.tensor(float(fixed[1])))
    merged = network.ranges[members[0].name]
    for node in members[1:]:
        merged = merged.merge(network.ranges[node.name])
    # The network's output is never clipped: its largest values are the answer.
    is_output = any(user.op == "output" for node in members for user in node.users)
    method = min_max if is_output else given.method
    low, high = method(merged, kind.bits)
    if low == high == 0 and given.profile.unseen is not None:
        high = given.profile.unseen * (kind.high - kind.low)
    if not given.profile.symmetric:
        return given.quantizer(kind, *affine_parameters(low, high, kind))
    if low >= 0:  # then zero is the lowest code, and no code stands for what never comes
        kind = IntType(kind.bits, signed=False)
        return given.quantizer(kind, *affine_parameters(low, high, kind))
    return given.quantizer(kind, *symmetric_parameters(low, high, kind))
