"""From a user's module to a graph of functional operations and raised layers.

torch.export flattens the module; raising gives back what later steps need as objects: one
WeightedLayer for every convolution and linear call, BatchNorm and Dropout as modules. The result is
a plain fx module that can be trained, copied and saved.
"""

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import CaptureError, ModelError
from edgewise.graph.detector import with_proposals
from edgewise.graph.functional import fold_constants, make_functional, path_of, simplify
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, first_output, module_of
from edgewise.graph.raising import raise_layers, tidy_names
from edgewise.graph.regions import (
    declared_decoder,
    declared_outputs,
    declared_regions,
    declares_outputs,
)
from edgewise.loading import paused_collector

_log = logging.getLogger(__name__)

_ANY_BATCH = "use -1 or the input's own size for the batch in its reshapes"
_PROBE = 3  # images; another batch size than the one exported with
_TOLERANCE = 1e-3  # of the largest output: activations written in another way round differently


@torch.no_grad()
def capture(module: nn.Module, contract: Preprocessing, name: str = "network") -> Network:
    """Capture `module` for inputs of the contract's shape and any batch size.

    The module is put in eval mode and otherwise not changed; its parameters are shared. Of several
    outputs the first tensor is kept, and all others that hold floats of each image. What a detector
    does not declare of its regions and outputs is proposed from the graph. Raises
    CaptureError when torch.export cannot follow it or the graph computes something else, ModelError
    when it fails on such an input or holds values that are not finite.
    """
    if not isinstance(module, fx.GraphModule):  # an exported program has one mode and keeps it
        module.eval()
    _refuse_values(module)
    _refuse_several_inputs(module)
    example = torch.zeros(2, *contract.shape)
    _try(module, example)
    graph = _export(module, example)
    make_functional(graph)
    fold_constants(graph)
    simplify(graph)
    raise_layers(graph)
    _annotate(graph)
    graph.graph.eliminate_dead_code(is_impure_node=_must_stay)
    if not any(node.users for node in graph.graph.find_nodes(op="placeholder")):
        raise CaptureError("the network's output does not depend on its input.")
    graph.delete_all_unused_submodules()
    tidy_names(graph)
    graph.eval()
    graph.graph.lint()
    graph.recompile()
    _compare(module, graph, contract)
    network = Network(
        name,
        graph,
        contract,
        declared_regions(module),
        float_outputs=declared_outputs(module),
        decoder=declared_decoder(module, contract),
    )
    return with_proposals(network, declares_outputs(module))


def _must_stay(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output")


def _refuse_values(module: nn.Module) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise ModelError(
                f"the network holds values that are not finite, first in '{name}'; "
                "load weights from before training diverged."
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ModelError(
                f"the network holds {str(tensor.dtype).removeprefix('torch.')} values, first in "
                f"'{name}'; convert it with .float()."
            )


def _refuse_several_inputs(module: nn.Module) -> None:
    wanted = [
        name
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(wanted) > 1:
        raise CaptureError(
            f"the network takes {len(wanted)} inputs ({', '.join(wanted)}); only networks of one "
            "image are compressed. Wrap it in a module that gives it the others."
        )


def _is_finite(tensor: Tensor) -> bool:
    """By the extremes, in one pass and without a copy."""
    return not tensor.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


def _try(module: nn.Module, example: Tensor) -> None:
    shape = "x".join(str(size) for size in example.shape[1:])
    try:
        returned = module(example)
    except Exception as error:  # a user's forward raises what it likes
        if _runs(module, example[:1]):
            raise CaptureError(
                f"the network takes one image at a time{_where(module, error)} "
                f"({_reason(error)}); {_ANY_BATCH}."
            ) from error
        raise ModelError(
            f"the network failed on an input of {shape} (channels x height x width)"
            f"{_where(module, error)}: {type(error).__name__}: {_reason(error)}; "
            "give the size it expects with --input-shape."
        ) from error
    try:
        result = first_output(returned)
    except (TypeError, StopIteration) as error:
        raise ModelError(
            f"the network returns {type(returned).__name__} and no tensor; wrap it in a module "
            "that returns the tensor that matters."
        ) from error
    if result.shape[:1] != example.shape[:1]:
        raise ModelError(
            f"the network's output {tuple(result.shape)} does not keep the batch of its input."
        )


def _runs(module: nn.Module, example: Tensor) -> bool:
    try:
        module(example)
    except Exception:  # a user's forward raises what it likes
        return False
    return True


def _where(module: nn.Module, error: BaseException) -> str:
    """The innermost of the user's layers that an error passed through, as ` at 'path'`."""
    paths = {id(part): path for path, part in module.named_modules()}
    found, trace = "", error.__traceback__
    while trace is not None:
        found = paths.get(id(trace.tb_frame.f_locals.get("self")), found)
        trace = trace.tb_next
    return f" at '{found}'" if found else ""


def _export(module: nn.Module, example: Tensor) -> fx.GraphModule:
    batch = torch.export.Dim("batch")
    level = logging.getLogger("torch").level
    try:
        # torch.export warns, logs and prints what the error below says.
        with (
            paused_collector(),
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            logging.getLogger("torch").setLevel(logging.CRITICAL)
            program = torch.export.export(
                module, (example,), dynamic_shapes=({0: batch},), strict=False
            )
            graph = program.module(check_guards=False)
    except Exception as error:  # torch.export raises many kinds, none of them documented
        raise _refusal(module, error) from error
    finally:
        logging.getLogger("torch").setLevel(level)
    assert isinstance(graph, fx.GraphModule)
    # An exported module refuses train(), eval() and copies; a plain one with its graph does not.
    graph.graph._codegen = fx.graph.CodeGen()
    graph.graph._tracer_cls = fx.Tracer
    _keep_outputs(graph)
    return fx.GraphModule(graph, graph.graph)


def _refusal(module: nn.Module, error: Exception) -> CaptureError:
    text, where = str(error), _where(module, error)
    if "data-dependent" in text:
        return CaptureError(
            f"the network's forward{where} decides by the values of a tensor ({_reason(error)}); "
            "a graph has one way through it: use torch.where, or leave that part out."
        )
    if "specialized" in text:
        return CaptureError(
            f"the network's forward{where} works for one batch size only ({_reason(error)}); "
            f"{_ANY_BATCH}."
        )
    return CaptureError(
        f"the network cannot be captured by torch.export{where}: {_reason(error)}; make its "
        "forward a function of tensors alone."
    )


def _keep_outputs(graph: fx.GraphModule) -> None:
    """Keep the first tensor, which metrics are about, and all others of floats of each image."""
    (node,) = graph.graph.find_nodes(op="output")
    outputs = node.args[0] if isinstance(node.args[0], Sequence) else (node.args[0],)
    tensors = list(dict.fromkeys(one for one in outputs if isinstance(one, fx.Node)))
    kept = [one for place, one in enumerate(tensors) if place == 0 or _is_of_each_image(one)]
    if len(kept) < len(tensors):
        _log.warning(
            "the network has %d outputs; %d that are no floats of each image are left out",
            len(tensors), len(tensors) - len(kept),
        )  # fmt: skip
    node.args = (kept[0] if len(kept) == 1 else tuple(kept),)


def _is_of_each_image(node: fx.Node) -> bool:
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or not value.is_floating_point() or not value.ndim:
        return False
    return not isinstance(value.shape[0], int)  # the number of images is open, all else is not


def _reason(error: BaseException) -> str:
    """What an error says, without torch's advice to its own developers, at most 200 letters."""
    text = " ".join(str(error).split())
    for advice in ("For more information", "(Size-like symbols", "consider using", "Suggested fix"):
        text = text.partition(advice)[0]
    text = text.rstrip(" .") or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."


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
        node.meta = {"shape": shape, "path": path or path_of(node), "floating": floating}


def _compare(module: nn.Module, graph: fx.GraphModule, contract: Preprocessing) -> None:
    """Run both on the same noise: what was captured must be what the user has."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(_PROBE, *contract.shape, generator=draw)
    wanted, found = (_floats(one(images.clone())) for one in (module, graph))
    # The graph's outputs are some of the network's, in the same order.
    rest = iter(wanted)
    if not all(any(_agree(ours, theirs) for theirs in rest) for ours in found):
        raise CaptureError(
            "the captured graph computes something else than the network: its forward draws "
            "random numbers, keeps state between calls, or depends on the size of the batch; make "
            "it a function of its input alone."
        )


def _floats(returned: Any) -> list[Tensor]:
    """All tensors in whatever a network returns."""
    if isinstance(returned, Tensor):
        return [returned.float()]
    if isinstance(returned, Mapping):
        returned = returned.values()
    if not isinstance(returned, Iterable) or isinstance(returned, str):
        return []
    return [tensor for part in returned for tensor in _floats(part)]


def _agree(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    error = float((ours - theirs).abs().max())
    return error <= _TOLERANCE * max(float(theirs.abs().max()), 1e-12)
