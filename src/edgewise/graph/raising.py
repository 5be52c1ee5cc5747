"""Give an exported graph back its layers: objects that hold the user's own parameters."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edgewise.errors import CaptureError
from edgewise.graph.functional import path_of
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import module_of, operation

_WEIGHTED = {"conv2d", "linear", "conv_transpose2d"}


class FeatureNorm(nn.BatchNorm2d):
    """BatchNorm of feature vectors (batch, channels), as follows a linear layer."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 2:
            raise ValueError(f"expected (batch, channels), got {tuple(input.shape)}")


def raise_layers(module: fx.GraphModule) -> None:
    """Turn convolutions and linear calls into WeightedLayers, with the BatchNorm that follows them;
    lone BatchNorm and Dropout into modules.

    Raises CaptureError, naming the layer, for weights that depend on the input, and for a BatchNorm
    that cannot be folded.
    """
    for node in list(module.graph.nodes):
        name = operation(module, node)
        if name in _WEIGHTED:
            _raise_weighted(module, node, name)
        elif name == "batch_norm":
            _raise_batch_norm(module, node)
        elif name in ("dropout", "feature_dropout"):
            node.replace_all_uses_with(_insert(module, node, nn.Dropout(float(node.args[1]))))


def tidy_names(module: fx.GraphModule) -> None:
    """Give raised layers the plain name of their path, once the old containers are gone."""
    for node in module.graph.nodes:
        plain = str(node.target).rstrip("_")
        if node.op == "call_module" and not hasattr(module, plain):
            layer = module.get_submodule(str(node.target))
            module.delete_submodule(str(node.target))
            module.add_submodule(plain, layer)
            node.target = plain
            node.name = (
                plain if plain not in {other.name for other in module.graph.nodes} else node.name
            )


def _tensor(module: fx.GraphModule, value: Any) -> Tensor | None:
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return None
    found = operator.attrgetter(str(value.target))(module)
    return found if isinstance(found, Tensor) else None


def _parameter(module: fx.GraphModule, value: Any) -> nn.Parameter | None:
    found = _tensor(module, value)
    if found is None or isinstance(found, nn.Parameter):
        return found
    return nn.Parameter(found, requires_grad=False)


def _raise_weighted(module: fx.GraphModule, node: fx.Node, kind: str) -> None:
    weight_node, bias_node = node.args[1], _argument(node, 2)
    weight, bias = _parameter(module, weight_node), _parameter(module, bias_node)
    if weight is None or (bias is None and bias_node is not None):
        raise CaptureError(
            f"the weights of {kind} at '{path_of(node) or node.name}' depend on the input; only "
            "weights that are fixed after training can be compressed."
        )
    assert isinstance(weight_node, fx.Node)
    holder = str(weight_node.target).rpartition(".")[0].removesuffix(".parametrizations.weight")
    path = holder or path_of(node) or node.name
    layer = WeightedLayer(Form(kind, path, _geometry(module, node, kind)), weight, bias)
    node.replace_all_uses_with(_insert(module, node, layer))


def _argument(node: fx.Node, index: int) -> Any:
    return node.args[index] if len(node.args) > index else None


def _geometry(module: fx.GraphModule, node: fx.Node, kind: str) -> dict[str, Any]:
    """The stride and so on of an aten call, as keyword arguments of the functional form."""
    if kind == "linear":
        return {}
    names: tuple[tuple[str, Any], ...]
    if kind == "conv2d":
        names = (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
    else:
        names = (
            ("stride", 1),
            ("padding", 0),
            ("output_padding", 0),
            ("groups", 1),
            ("dilation", 1),
        )
    given = node.args[3:]
    values = {
        key: given[i] if i < len(given) else default for i, (key, default) in enumerate(names)
    }
    if isinstance(values["padding"], str):
        values["padding"] = _named_padding(module, node, values)
    return {key: value if key == "groups" else _pair(value) for key, value in values.items()}


def _named_padding(module: fx.GraphModule, node: fx.Node, values: Mapping[str, Any]) -> list[int]:
    """Padding in numbers; where 'same' needs more on one side, a pad is put before the node."""
    source, weight_node = node.args[:2]
    assert isinstance(source, fx.Node)
    assert isinstance(weight_node, fx.Node)
    if values["padding"] == "valid":
        return [0, 0]
    kernel = weight_node.meta["val"].shape[2:]
    total = [d * (k - 1) for d, k in zip(_pair(values["dilation"]), kernel, strict=True)]
    if any(size % 2 for size in total):
        high, wide = total
        pads = [wide // 2, wide - wide // 2, high // 2, high - high // 2]
        with module.graph.inserting_before(node):
            padded = module.graph.call_function(
                torch.ops.aten.constant_pad_nd.default, (source, pads)
            )
        padded.meta = {**source.meta, "val": F.pad(source.meta["val"], pads)}
        node.replace_input_with(source, padded)
        return [0, 0]
    return [int(size // 2) for size in total]


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)]
    return values * 2 if len(values) == 1 else values


def _raise_batch_norm(module: fx.GraphModule, node: fx.Node) -> None:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    layer = module_of(module, source)
    rank = node.meta["val"].ndim
    norm = _batch_norm(module, node, FeatureNorm if rank == 2 else nn.BatchNorm2d)
    if isinstance(layer, WeightedLayer) and _can_hold(layer, rank) and len(source.users) == 1:
        layer.batch_norm = norm
        source.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(source)
        return
    if rank != 4:
        raise CaptureError(
            f"the BatchNorm at '{_norm_path(node)}' follows no convolution or linear layer and is "
            "not of images, so it cannot be folded; put it right after a layer."
        )
    raised = _insert(module, node, norm)
    raised.meta["path"] = _norm_path(node)
    node.replace_all_uses_with(raised)


def _can_hold(layer: WeightedLayer, rank: int) -> bool:
    """Whether BatchNorm of a tensor of that rank is over the layer's output channels."""
    return layer.batch_norm is None and rank == (2 if layer.form.kind == "linear" else 4)


def _norm_path(node: fx.Node) -> str:
    holder = node.args[3]  # the running mean, which lies where the module does
    return str(holder.target).rpartition(".")[0] if isinstance(holder, fx.Node) else path_of(node)


def _batch_norm(
    module: fx.GraphModule, node: fx.Node, kind: type[nn.BatchNorm2d]
) -> nn.BatchNorm2d:
    """The BatchNorm of a call, on the tensors that the call reads."""
    mean, variance = (_tensor(module, node.args[index]) for index in (3, 4))
    if mean is None or variance is None:
        raise CaptureError(
            f"the BatchNorm at '{_norm_path(node)}' has no running statistics; only one with "
            "track_running_stats can be folded."
        )
    momentum, epsilon = (float(str(node.args[index])) for index in (6, 7))
    gamma, beta = (_parameter(module, node.args[index]) for index in (1, 2))
    norm = kind(len(mean), epsilon, momentum, affine=gamma is not None)
    norm.running_mean, norm.running_var = mean, variance
    if gamma is not None:
        norm.weight = gamma
    if beta is not None:
        norm.bias = beta
    return norm.eval()


def _insert(module: fx.GraphModule, node: fx.Node, layer: nn.Module) -> fx.Node:
    """A call of `layer` on the node's first argument, in the node's place."""
    path = layer.form.path if isinstance(layer, WeightedLayer) else node.name
    name = path.replace(".", "_")
    while hasattr(module, name):
        name += "_"
    module.add_submodule(name, layer)
    with module.graph.inserting_before(node):
        call = module.graph.call_module(name, (node.args[0],))
    call.meta = dict(node.meta)
    return call
