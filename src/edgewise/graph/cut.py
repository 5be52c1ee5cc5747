"""Channels removed from a network: really, or by zeros in their place."""

from dataclasses import replace
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor, fx, nn

from edgewise.errors import ModelError
from edgewise.graph.channels.flow import place_of, shape_of
from edgewise.graph.channels.masks import Choice, Mask, Part, Parts, chosen_parts, parts_without
from edgewise.graph.channels.rewrite import rewrite
from edgewise.graph.channels.sliced import Slicer
from edgewise.graph.channels.trace import Trace, trace
from edgewise.graph.channels.weighted import inputs, is_depthwise, outputs
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of, operation
from edgewise.graph.plan import Kept, Plan


def cut(network: Network, choice: Choice) -> Network:
    """A smaller network, of the channels that are kept; layers that stay share their parameters.

    choice: name of a group -> positions to keep; other groups stay whole. Ranges seen in
    calibration are dropped: they were those of the whole network. Raises UsageError for a group
    that there is none of, or that cannot be cut, and for positions that it does not have.
    """
    made = network.copy()
    return _without(made, chosen_parts(made, choice))


def cut_by(network: Network, plan: Plan) -> Network:
    """The network cut as one like it was, whose `cuts` the plan is one of.

    Raises ModelError, naming the layer, where the plan is not of this network.
    """
    made = network.copy()
    found = trace(made)
    layers = {str(node.target): (node, layer) for node, layer in made.layers()}
    removed: set[int] = set()
    for name, kept in plan.layers.items():
        if name not in layers:
            raise ModelError(f"the channel plan names '{name}', and the network has no such layer.")
        node, layer = layers[name]
        for key, most, given in (
            ("outputs", outputs(layer), kept.outputs), ("inputs", inputs(layer), kept.inputs),
        ):  # fmt: skip
            if max(given) >= most:
                raise ModelError(f"'{name}' has {most} {key}, and the channel plan keeps "
                                 f"number {max(given)}.")  # fmt: skip
        labels = found.labels(node)
        if labels is not None:
            removed.update(np.delete(labels, kept.outputs).tolist())
    parts = parts_without(found, removed)
    _refuse_impossible(found, removed, parts)
    made = _without(made, parts)
    cut_so = made.cuts[-1].layers if removed else {}
    for name in layers:
        if cut_so.get(name) != plan.layers.get(name):
            raise ModelError(
                f"the channel plan contradicts itself at '{name}': it was not stored whole, or is "
                "of another network."
            )
    return made


def _refuse_impossible(found: Trace, removed: set[int], parts: Parts) -> None:
    for label in sorted(removed):
        if label in found.reasons:
            raise ModelError(f"the channel plan removes channels although {found.reasons[label]}.")
    for node, part in parts.items():
        if not part.kept.any():
            raise ModelError(f"the channel plan leaves nothing of '{place_of(node)}'.")


@torch.no_grad()
def masked(network: Network, choice: Choice) -> Network:
    """The network at its old size, in which layers read zero where channels are removed.

    A depthwise layer passes channels on, and what is behind it reads zero.
    """
    made = network.copy()
    parts = chosen_parts(made, choice)
    for node, layer in list(made.layers()):
        source = node.all_input_nodes[0]
        if source in parts and not is_depthwise(layer):
            _insert_mask(made.module, node, source, parts[source])
    made.module.recompile()
    return replace(made, ranges={})


def _insert_mask(module: fx.GraphModule, node: fx.Node, source: fx.Node, part: Part) -> None:
    shape = [1] * len(shape_of(source))
    shape[part.axis] = -1
    values = torch.from_numpy(part.kept).float().view(shape)
    name = f"mask_of_{node.name}"
    module.register_buffer(name, values)
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
        product = module.graph.call_function(torch.ops.aten.mul.Tensor, (source, constant))
    constant.meta = {"shape": tuple(values.shape), "path": "", "floating": True}
    product.meta = dict(source.meta)
    node.replace_input_with(source, product)


@torch.no_grad()
def _without(made: Network, parts: Parts) -> Network:
    slicer, layers = Slicer(), dict[str, Kept]()
    for node in made.module.graph.nodes:
        target = module_of(made.module, node)
        if type(target) is WeightedLayer:
            smaller = _sliced(slicer, node, target, parts)
            if smaller is not None:
                layer, kept = smaller
                made.module.set_submodule(str(node.target), layer)
                if not is_depthwise(target):
                    layers[str(node.target)] = kept
        elif isinstance(target, nn.BatchNorm2d) and node in parts:
            norm = slicer.norm(target, parts[node].kept)
            made.module.set_submodule(str(node.target), norm)
        elif node.op == "get_attr" and node in parts:
            _slice_constant(made.module, node, slicer, parts[node])
        elif node.all_input_nodes:
            before = parts.get(node.all_input_nodes[0])
            rewrite(node, operation(made.module, node), before, parts.get(node))
    for node in made.module.graph.nodes:
        if node in parts:
            node.meta["shape"] = _smaller(shape_of(node), parts[node])
    made.module.graph.lint()
    made.module.recompile()
    cuts = (*made.cuts, Plan(layers)) if layers else made.cuts
    return replace(made, ranges={}, cuts=cuts)


def _sliced(
    slicer: Slicer, node: fx.Node, layer: WeightedLayer, parts: Parts
) -> tuple[WeightedLayer, Kept] | None:
    source = node.all_input_nodes[0]
    if node not in parts and source not in parts:
        return None
    made = _mask(parts.get(node), outputs(layer))
    read = _mask(parts.get(source), inputs(layer))
    smaller = slicer.layer(layer, made, read)
    outer, inner = (tuple(np.flatnonzero(mask).tolist()) for mask in (made, read))
    return smaller, Kept(outer, inner, tuple(smaller.weight.shape))


def _mask(part: Part | None, count: int) -> Mask:
    return np.ones(count, np.bool_) if part is None else part.kept


def _slice_constant(module: fx.GraphModule, node: fx.Node, slicer: Slicer, part: Part) -> None:
    holder, _, name = str(node.target).rpartition(".")
    whole = attrgetter(str(node.target))(module)
    assert isinstance(whole, Tensor)
    if whole.shape[part.axis] == len(part.kept):  # not yet cut by another node of this constant
        setattr(module.get_submodule(holder), name, slicer.part(whole, (part.axis, part.kept)))


def _smaller(shape: tuple[int | None, ...], part: Part) -> tuple[int | None, ...]:
    return (*shape[: part.axis], part.count, *shape[part.axis + 1 :])
