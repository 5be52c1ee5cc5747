"""Weights as data: safetensors with the network's configuration and contract beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgewise import store
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import DataError, ModelError

_KEY = "edgewise"
_TYPES = frozenset(
    {
        torch.float32, torch.float16, torch.bfloat16, torch.float64,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and what was stored with them.

    model: built-in name and its options, where the file was written by us; digest: SHA-256 of the
    file; cuts: parsed JSON of the plans by which channels were removed from the network first.
    """

    tensors: Mapping[str, Tensor]
    digest: str
    model: Mapping[str, Any] | None = None
    contract: Preprocessing | None = None
    cuts: tuple[Any, ...] = ()


def save_weights(
    module: nn.Module,
    path: Path,
    model: Mapping[str, Any],
    contract: Preprocessing,
    half: bool = False,
) -> None:
    """Write a network's state as safetensors, its configuration and contract in the header.

    half: matrices and kernels in half precision; what has one dimension is small, and may not fit.
    """
    tensors = {
        name: (value.half() if half and value.ndim > 1 else value).contiguous()
        for name, value in module.state_dict().items()
    }
    write_weights(path, Weights(tensors, "", model, contract))


def write_weights(path: Path, weights: Weights) -> None:
    """Write tensors, which share no memory, with what goes into the header."""
    assert weights.contract is not None
    header: dict[str, Any] = {
        "model": dict(weights.model or {}),
        "preprocessing": weights.contract.to_json(),
    }
    if weights.cuts:
        header["cuts"] = list(weights.cuts)
    content = save(dict(weights.tensors), {_KEY: json.dumps(header, sort_keys=True)})
    store.write_bytes(path, content)


def load_weights(path: Path) -> Weights:
    """Read safetensors, or a checkpoint with weights_only: nothing in the file is executed.

    Raises ModelError when the file is absent, cut short, holds anything but tensors, or holds
    values that are not finite.
    """
    if not path.is_file():
        raise ModelError(f"the weights {path} do not exist; check the path given to --weights.")
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    for name, tensor in weights.tensors.items():
        _check(name, tensor, path)
    return weights


def _check(name: str, tensor: Tensor, path: Path) -> None:
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_nested or tensor.dtype not in _TYPES:
        raise ModelError(
            f"the weights {path} hold '{name}' as {tensor.dtype} in the layout {tensor.layout} on "
            f"{tensor.device}, which is no plain tensor; save them as float32."
        )
    if tensor.is_floating_point() and not _is_finite(tensor.float()):
        raise ModelError(
            f"the weights {path} hold values that are not finite, first in '{name}'; "
            "use a checkpoint from before training diverged."
        )


def _is_finite(tensor: Tensor) -> bool:
    """By the extremes, in one pass and without a copy."""
    if not tensor.numel():
        return True
    low, high = torch.aminmax(tensor.detach())
    return bool(torch.isfinite(low) & torch.isfinite(high))


def apply_weights(module: nn.Module, weights: Weights, path: Path, assign: bool = False) -> None:
    """Load weights into a network; raises ModelError when names or shapes differ.

    assign: the tensors themselves become the parameters, for a network that is on no device yet.
    """
    try:
        kinds = {name: value.dtype for name, value in module.state_dict().items()}
        tensors = {name: x.to(kinds.get(name, x.dtype)) for name, x in weights.tensors.items()}
        module.load_state_dict(tensors, strict=True, assign=assign)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:600]
        raise ModelError(f"the weights {path} are of another network: {reason}") from error


def _read_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"the weights {path} are not whole safetensors ({error}); copy them again."
        ) from error
    try:
        contract = header.get("preprocessing")
        parsed = None if contract is None else Preprocessing.from_json(contract)
    except (DataError, AttributeError) as error:
        raise ModelError(f"the header of {path} is malformed: {error}") from error
    cuts = header.get("cuts", [])
    if not isinstance(cuts, list):
        raise ModelError(f"the header of {path} is malformed: its cuts are no list.")
    return Weights(tensors, store.digest_file(path), header.get("model"), parsed, tuple(cuts))


def _read_checkpoint(path: Path) -> Weights:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what the file's format dictates
        raise ModelError(
            f"the checkpoint {path} was refused: it is cut short, or holds more than tensors "
            f"({type(error).__name__}). Nothing in it was executed. Save a state_dict with "
            "torch.save(model.state_dict(), ...) or, better, safetensors."
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise ModelError(f"the checkpoint {path} holds no state_dict; save one.")
    tensors = {str(k).removeprefix("module."): v for k, v in loaded.items()}
    if not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ModelError(f"the checkpoint {path} holds no state_dict of tensors; save one.")
    return Weights(tensors, store.digest_file(path))
