"""From a user's module to a graph of functional operations and raised layers.

torch.export flattens the module; raising gives back what later steps need as objects: one
WeightedLayer for every convolution and linear call, BatchNorm and Dropout as modules. The result is
a plain fx module that can be trained, copied and saved.
"""

import logging
import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import CaptureError, ModelError
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import Network, first_output, module_of, operation
from edgewise.graph.regions import declared_regions

_WEIGHTED = {"conv2d", "linear", "conv_transpose2d"}


@torch.no_grad()
def capture(module: nn.Module, contract: Preprocessing, name: str = "network") -> Network:
    """Capture `module` for inputs of the contract's shape and any batch size.

    The module is put in eval mode and otherwise not changed; its parameters are shared. Raises
    CaptureError when torch.export cannot follow it, ModelError when it fails on such an input or
    holds values that are not finite.
    """
    if not isinstance(module, fx.GraphModule):  # an exported program has one mode and keeps it
        module.eval()
    _refuse_not_finite(module)
    example = torch.zeros(2, *contract.shape)
    _try(module, example)
    graph = _export(module, example)
    _make_functional(graph)
    _raise_layers(graph)
    _annotate(graph)
    graph.graph.eliminate_dead_code(is_impure_node=_must_stay)
    graph.delete_all_unused_submodules()
    _tidy_names(graph)
    graph.eval()
    graph.graph.lint()
    graph.recompile()
    return Network(name, graph, contract, declared_regions(module))


def _must_stay(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output")


def _refuse_not_finite(module: nn.Module) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"the network holds values that are not finite, first in '{name}'; "
                "load weights from before training diverged."
            )


def _try(module: nn.Module, example: Tensor) -> None:
    shape = "x".join(str(size) for size in example.shape[1:])
    try:
        result = first_output(module(example))
    except Exception as error:  # a user's forward raises what it likes
        raise ModelError(
            f"the network failed on an input of {shape} (channels x height x width): "
            f"{type(error).__name__}: {_short(error)}; give the size it expects with --input-shape."
        ) from error
    if result.shape[0] != example.shape[0]:
        raise ModelError(
            f"the network's output {tuple(result.shape)} does not keep the batch of its input."
        )


def _export(module: nn.Module, example: Tensor) -> fx.GraphModule:
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch").setLevel(logging.ERROR)
            program = torch.export.export(
                module, (example,), dynamic_shapes=({0: batch},), strict=False
            )
            graph = program.module(check_guards=False)
    except Exception as error:  # torch.export raises many kinds, none of them documented
        raise CaptureError(
            f"the network cannot be captured by torch.export: {_short(error)}; make its forward "
            "free of control flow that depends on values, and of a fixed batch size."
        ) from error
    finally:
        logging.getLogger("torch").setLevel(logging.WARNING)
    assert isinstance(graph, fx.GraphModule)
    # An exported module refuses train(), eval() and copies; a plain one with its graph does not.
    graph.graph._codegen = fx.graph.CodeGen()
    graph.graph._tracer_cls = fx.Tracer
    _plain_output(graph)
    return fx.GraphModule(graph, graph.graph)


def _plain_output(graph: fx.GraphModule) -> None:
    """Keep the first tensor output: the one that metrics are about."""
    (node,) = (node for node in graph.graph.nodes if node.op == "output")
    outputs = node.args[0]
    first = outputs[0] if isinstance(outputs, Sequence) else outputs
    node.args = (tuple(outputs) if isinstance(outputs, Sequence) and len(outputs) > 1 else first,)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + " ..."


def _make_functional(module: fx.GraphModule) -> None:
    """Replace in-place operations by their functional twins; later readers read the new value."""
    for node in list(module.graph.nodes):
        packet = getattr(node.target, "overloadpacket", None)
        if packet is None or not str(packet).endswith("_") or str(packet).endswith("__"):
            continue
        twin = getattr(torch.ops.aten, str(packet).rsplit(".", 1)[-1][:-1], None)
        if twin is None:
            raise CaptureError(f"{packet} at '{_path(node)}' changes its input and has no twin.")
        node.target = getattr(twin, node.target._overloadname)
        changed = node.args[0]
        for user in list(changed.users):
            if user is not node and user > node:
                user.replace_input_with(changed, node)


def _path(node: fx.Node) -> str:
    stack: Mapping[str, Any] = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    return str(paths[-1]).replace("L__self__.", "").removeprefix("L__self__") if paths else ""


def _raise_layers(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        name = operation(module, node)
        if name in _WEIGHTED and _parameter(module, node.args[1]) is not None:
            _raise_weighted(module, node, name)
        elif name == "batch_norm":
            _raise_batch_norm(module, node)
        elif name in ("dropout", "feature_dropout"):
            node.replace_all_uses_with(_insert(module, node, nn.Dropout(float(node.args[1]))))


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
    weight = _parameter(module, node.args[1])
    assert weight is not None
    bias = _parameter(module, node.args[2]) if len(node.args) > 2 else None
    weight_node = node.args[1]
    assert isinstance(weight_node, fx.Node)
    path = str(weight_node.target).rpartition(".")[0] or _path(node) or node.name
    layer = WeightedLayer(Form(kind, path, _geometry(node, kind)), weight, bias)
    node.replace_all_uses_with(_insert(module, node, layer))


def _geometry(node: fx.Node, kind: str) -> dict[str, Any]:
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
        values["padding"] = _named_padding(node, values)
    return {key: value if key == "groups" else _pair(value) for key, value in values.items()}


def _named_padding(node: fx.Node, values: Mapping[str, Any]) -> list[int]:
    weight_node = node.args[1]
    assert isinstance(weight_node, fx.Node)
    kernel = weight_node.meta["val"].shape[2:]
    if values["padding"] == "valid":
        return [0, 0]
    total = [d * (k - 1) for d, k in zip(_pair(values["dilation"]), kernel, strict=True)]
    if any(size % 2 for size in total):
        raise CaptureError(
            f"'{_path(node)}' pads 'same' with an even kernel, which pads one side more; pad "
            "explicitly before it."
        )
    return [int(size // 2) for size in total]


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)]
    return values * 2 if len(values) == 1 else values


def _raise_batch_norm(module: fx.GraphModule, node: fx.Node) -> None:
    norm = _batch_norm(module, node)
    source = node.args[0]
    assert isinstance(source, fx.Node)
    layer = module_of(module, source)
    alone = len(source.users) == 1 and isinstance(layer, WeightedLayer)
    if alone and isinstance(layer, WeightedLayer) and layer.form.kind != "linear":
        layer.batch_norm = norm
        source.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(source)
        return
    raised = _insert(module, node, norm)
    raised.meta["path"] = str(node.args[3]).rpartition(".")[0]
    if isinstance(node.args[3], fx.Node):
        raised.meta["path"] = str(node.args[3].target).rpartition(".")[0]
    node.replace_all_uses_with(raised)


def _batch_norm(module: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d:
    """The BatchNorm of a call, on the tensors that the call reads."""
    weight, bias, mean, variance = (_tensor(module, node.args[index]) for index in range(1, 5))
    shape = node.meta["val"].shape
    if mean is None or variance is None or len(shape) != 4:
        raise CaptureError(
            f"the BatchNorm at '{_path(node)}' has no running statistics, or is not of images; "
            "only nn.BatchNorm2d with track_running_stats can be folded."
        )
    momentum, epsilon = (float(str(node.args[index])) for index in (6, 7))
    norm = nn.BatchNorm2d(len(mean), epsilon, momentum, affine=weight is not None)
    norm.running_mean, norm.running_var = mean, variance
    if isinstance(weight, nn.Parameter) and isinstance(bias, nn.Parameter):
        norm.weight, norm.bias = weight, bias
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


def _tidy_names(module: fx.GraphModule) -> None:
    """Give raised layers the plain name of their path, now that the old containers are gone."""
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


def _annotate(module: fx.GraphModule) -> None:
    """Replace export's metadata by the two facts that are needed: shape and path."""
    for node in module.graph.nodes:
        value = node.meta.get("val")
        shape = None
        if isinstance(value, Tensor):
            shape = tuple(int(s) if isinstance(s, int) else None for s in value.shape)
        layer = module_of(module, node)
        path = layer.form.path if isinstance(layer, WeightedLayer) else node.meta.get("path")
        floating = isinstance(value, Tensor) and value.is_floating_point()
        node.meta = {"shape": shape, "path": path or _path(node), "floating": floating}
