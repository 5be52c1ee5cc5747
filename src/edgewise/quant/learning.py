"""A float network with learned quantizers, and what becomes of it."""

import copy
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from edgewise.errors import RecipeError
from edgewise.graph.layer import WeightedLayer, as_depthwise
from edgewise.graph.network import Network, module_of
from edgewise.quant.insert import Insertion, find_source, insert
from edgewise.quant.learned import LearnedLayer, LearnedQuantizer, Learning
from edgewise.quant.profiles import Profile


def owned(network: Network) -> Network:
    """A copy with parameters of its own, all of them trainable, and no BatchNorm standing alone."""
    module = copy.deepcopy(network.module)
    for node in list(module.graph.nodes):
        target = module_of(module, node)
        if isinstance(target, nn.BatchNorm2d):
            module.set_submodule(str(node.target), as_depthwise(target, str(node.meta["path"])))
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    module.recompile()
    return replace(network, module=module)


def prepare(network: Network, insertion: Insertion, learning: Learning) -> Network:
    """Put learned quantizers into a calibrated float network that may be changed, in place."""
    symmetric = insertion.profile.symmetric
    quantizer = partial(LearnedQuantizer, learning=learning, symmetric=symmetric)
    layer = partial(LearnedLayer, learning=learning)
    insert(network, replace(insertion, quantizer=quantizer, layer=layer))
    if learning.placement == "every-output":
        _round_every_output(network, insertion.profile, learning)
    elif learning.placement == "activations":
        _leave_ends(network)
    return network


def _round_every_output(network: Network, profile: Profile, learning: Learning) -> None:
    for layer in network.module.modules():
        if isinstance(layer, LearnedLayer):
            kind = profile.activations(layer.source[0].kind.bits)
            layer.sums = LearnedQuantizer.unseen(kind, learning)
            if layer.batch_norm is not None:
                layer.normed = LearnedQuantizer.unseen(kind, learning)


def _leave_ends(network: Network) -> None:
    """Leave the network's input and output as they are."""
    for node in network.module.graph.nodes:
        target = module_of(network.module, node)
        if isinstance(target, LearnedQuantizer):
            of_input = node.all_input_nodes[0].op == "placeholder"
            target.passes = of_input or any(user.op == "output" for user in node.users)


@torch.no_grad()
def freeze(network: Network) -> Network:
    """The quantized network that a trained one has become; it shares nothing with it.

    Raises RecipeError for a placement that no artifact has.
    """
    module = copy.deepcopy(network.module).eval()
    learned = {n: m for n, m in module.named_children() if isinstance(m, LearnedQuantizer)}
    if any(quantizer.learning.placement != "target" for quantizer in learned.values()):
        raise RecipeError("only placement 'target' can be written as an artifact.")
    frozen = {name: quantizer.frozen() for name, quantizer in learned.items()}
    for node in module.graph.nodes:
        target = module_of(module, node)
        if isinstance(target, LearnedLayer):
            source = find_source(module, node)
            assert source is not None
            integer = target.frozen(frozen[str(source.target)])
            module.set_submodule(str(node.target), integer)
    for name, quantizer in frozen.items():
        module.set_submodule(name, quantizer)
    module.requires_grad_(False)
    module.recompile()
    return replace(network, module=module)


def latent(network: Network, reference: Network) -> Network:
    """The float network whose weights a trained one rounds: the start of fewer bits.

    reference: the float network of the same nodes.
    """
    result = owned(reference)
    trained = network.module
    for node in list(result.module.graph.nodes):
        ours = module_of(result.module, node)
        if isinstance(ours, WeightedLayer):
            layer = trained.get_submodule(str(node.target))
            if isinstance(layer, LearnedLayer):
                layer = layer.float_layer()
            ours.load_state_dict(layer.state_dict())
    result.module.eval()
    return replace(result, ranges={})
