"""MODEL as users give it: a built-in name, file.py:factory, or an exported .pt2."""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from edgewise import store
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError, UsageError
from edgewise.loading import paused_collector
from edgewise.models import darknet
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.weights import Weights, apply_weights, load_weights

Shape = tuple[int, int, int]


class Uncut(nn.Module):
    """An architecture whose weights are those of a smaller network: it has to be captured and cut
    first. Called before that, it raises ModelError.
    """

    def __init__(self, architecture: nn.Module, weights: Weights, path: Path) -> None:
        super().__init__()
        self.architecture = architecture
        self.weights = weights
        self.path = path

    def forward(self, images: Tensor) -> Tensor:
        raise ModelError(
            f"{self.path} is of a network that has lost channels, which is whole only as a graph: "
            "get it from edgewise.pipeline.network.captured"
        )


@dataclass(frozen=True)
class Loaded:
    """A network ready to be captured.

    source: what was asked for; module: ready to run, or an Uncut one; input_shape: channels,
    height, width, or None where neither the model nor its weights say; contract: stored with the
    weights, if it was; inputs: digests.
    """

    name: str
    source: str
    module: nn.Module
    input_shape: Shape | None = None
    contract: Preprocessing | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


def load_model(
    model: str, weights: Path | None = None, options: Mapping[str, Any] | None = None
) -> Loaded:
    """Load MODEL, with `weights` (safetensors, a checkpoint of tensors, or darknet's) where given.

    options: of a built-in network; those stored with its weights are the default. A built-in
    network without weights and without options gets the weights that come with edgewise. Raises
    UsageError for a MODEL that names nothing, ModelError for one that cannot be loaded.
    """
    if model in BUILT_IN:
        return _built_in(model, weights, options)
    if options:
        raise UsageError(f"options are for built-in networks; '{model}' is none of them.")
    path, _, factory = model.partition(":")
    if factory and path.endswith(".py"):
        loaded = _from_factory(Path(path), factory)
    elif model.endswith(".pt2"):
        loaded = _from_program(Path(model))
    else:
        raise UsageError(
            f"'{model}' is no MODEL: give a built-in name ({', '.join(BUILT_IN)}), "
            "file.py:factory, or an exported .pt2."
        )
    return loaded if weights is None else _with_weights(loaded, weights)


def _built_in(name: str, path: Path | None, options: Mapping[str, Any] | None) -> Loaded:
    entry = BUILT_IN[name]
    if path is None and options is None:
        path = entry.weights
    if path is not None and path.suffix == darknet.SUFFIX:
        return _from_darknet(name, path, options or {})
    weights = None if path is None else load_weights(path)
    stored = _stored_options(name, weights)
    chosen = options if options is not None else stored
    if weights is None or path is None:
        return Loaded(name, name, build(name, chosen), entry.input_shape)
    contract = weights.contract
    # A detector takes images of any size, and was trained for one.
    shape = (
        contract.shape if entry.learns == "objects" and contract is not None else entry.input_shape
    )
    if weights.cuts:
        module: nn.Module = Uncut(build(name, chosen), weights, path)
        return Loaded(name, name, module, shape, contract, {"weights": weights.digest})
    module = _without_values(name, chosen)
    apply_weights(module, weights, path, assign=True)
    return Loaded(name, name, module, shape, contract, {"weights": weights.digest})


def _from_darknet(name: str, path: Path, options: Mapping[str, Any]) -> Loaded:
    module, shape = _without_values(name, options), BUILT_IN[name].input_shape
    weights = darknet.read_darknet(path, module)
    apply_weights(module, weights, path, assign=True)
    contract = darknet.darknet_contract(shape)
    return Loaded(name, name, module, shape, contract, {"weights": weights.digest})


def _without_values(name: str, options: Mapping[str, Any]) -> nn.Module:
    """On no device: its values are neither drawn nor stored, they come from a file."""
    with paused_collector(), torch.device("meta"):
        return build(name, options)


def _stored_options(name: str, weights: Weights | None) -> Mapping[str, Any]:
    stored = weights.model if weights is not None else None
    if not isinstance(stored, Mapping):
        return {}
    if stored.get("name") != name:
        raise ModelError(f"these weights are of '{stored.get('name')}', not of '{name}'.")
    options = stored.get("options", {})
    if not isinstance(options, Mapping):
        raise ModelError(f"the header of these weights does not say how '{name}' was built.")
    return options


def _with_weights(loaded: Loaded, path: Path) -> Loaded:
    if path.suffix == darknet.SUFFIX:
        known = ", ".join(name for name, entry in BUILT_IN.items() if entry.learns == "objects")
        raise ModelError(
            f"{path} is a file of darknet, which says neither names nor shapes; such weights are "
            f"for the built-in {known}."
        )
    weights, module = load_weights(path), loaded.module
    if weights.cuts:
        module = Uncut(module, weights, path)
    else:
        apply_weights(module, weights, path)
    return Loaded(
        loaded.name,
        loaded.source,
        module,
        loaded.input_shape,
        weights.contract,
        {**loaded.inputs, "weights": weights.digest},
    )


def _from_factory(path: Path, factory: str) -> Loaded:
    """Call the user's own factory: their code runs, as they asked for by naming it."""
    with _beside(path):
        python = _import_file(path)
        make = getattr(python, factory, None)
        if not callable(make):
            raise ModelError(f"{path} has no function '{factory}'.")
        try:
            made = make()
        except (Exception, SystemExit) as error:  # a user's factory raises what it likes
            raise ModelError(
                f"{factory}() in {path} raised {type(error).__name__}: {error}"
            ) from error
    shape = None
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], Tensor):
        shape = _shape_of(made[1])
        made = made[0]
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"{factory}() in {path} returned {type(made).__name__}; it must return an nn.Module, "
            "or a pair of an nn.Module and an example input."
        )
    return Loaded(path.stem, f"{path.name}:{factory}", made, shape, inputs=_code(path))


def _code(path: Path) -> dict[str, str]:
    return {"code": store.digest_file(path)}


def _shape_of(example: Tensor) -> Shape:
    if example.ndim != 4:
        raise ModelError(
            f"the example input must be (batch, channels, height, width), not of shape "
            f"{tuple(example.shape)}."
        )
    return int(example.shape[1]), int(example.shape[2]), int(example.shape[3])


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"{path} does not exist; MODEL is file.py:factory.")
    name = f"edgewise_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a user's file raises what it likes
        raise ModelError(f"{path} raised {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Within this, the user's code imports what lies beside its file, as a script's does."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have taken it away
            sys.path.remove(folder)


def _from_program(path: Path) -> Loaded:
    # Reading exported programs takes half a second of imports that nothing else needs.
    from edgewise.models.program import load_program  # noqa: PLC0415

    module, example = load_program(path)
    shape = None if example is None else _shape_of(example)
    return Loaded(path.stem, path.name, module, shape, inputs={"program": store.digest_file(path)})
