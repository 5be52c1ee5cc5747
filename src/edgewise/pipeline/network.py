"""A loaded model as a graph, also one that has lost channels; and such a graph as a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError
from edgewise.graph.capture import capture
from edgewise.graph.channels.weighted import outputs
from edgewise.graph.cut import cut_by
from edgewise.graph.layer import WeightedLayer, as_depthwise
from edgewise.graph.network import Network, module_of
from edgewise.graph.plan import Plan
from edgewise.models.load import Loaded, Uncut
from edgewise.models.weights import Weights, apply_weights, write_weights


def captured(loaded: Loaded, contract: Preprocessing) -> Network:
    """The network of a loaded model, cut as its weights were where they are of a smaller one.

    Raises CaptureError and ModelError as `capture` does, and ModelError where the plan or the
    weights in the file are not of this architecture.
    """
    model = loaded.module
    if not isinstance(model, Uncut):
        return capture(model, contract, loaded.name)
    network = capture(model.architecture, contract, loaded.name)
    _fit(network, model.weights.tensors)
    try:
        for plan in model.weights.cuts:
            network = cut_by(network, Plan.from_json(plan))
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from error
    apply_weights(network.module, model.weights, model.path)
    return network


def save_network(network: Network, path: Path, model: Mapping[str, Any]) -> None:
    """Write a network in float, with the plans of its cuts, so that `captured` gives it again.

    model: name and options of a built-in architecture; {} for others, whose file.py:factory has to
    be named when it is loaded. Raises ModelError for a network that is not in float.
    """
    for node in network.module.graph.nodes:
        module = module_of(network.module, node)
        if not isinstance(module, WeightedLayer | nn.BatchNorm2d | nn.Dropout | None):
            raise ModelError(
                f"'{node.target}' of {network.name} is no layer in float any more; save the "
                "network before it is quantized, and export it after that."
            )
    state = network.module.state_dict()
    # Copies, because layers that share parameters have each a name of their own here.
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    cuts = tuple(plan.to_json() for plan in network.cuts)
    write_weights(path, Weights(tensors, "", model, network.contract, cuts))


def _fit(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Give layers the parts that the file has of them: a BatchNorm that was folded is none, and a
    layer that was compensated has a bias.
    """
    for node in network.module.graph.nodes:
        layer, name = module_of(network.module, node), str(node.target)
        if isinstance(layer, WeightedLayer):
            made = WeightedLayer(layer.form, layer.weight, layer.bias)
            if f"{name}.batch_norm.running_mean" in tensors:
                made.batch_norm = layer.batch_norm
            if f"{name}.bias" in tensors and layer.bias is None:
                zeros = torch.zeros(outputs(layer))
                made.bias = nn.Parameter(zeros, requires_grad=layer.weight.requires_grad)
            network.module.set_submodule(name, made.train(layer.training))
        elif isinstance(layer, nn.BatchNorm2d) and f"{name}.running_mean" not in tensors:
            network.module.set_submodule(name, as_depthwise(layer, str(node.meta["path"])))
    network.module.recompile()
