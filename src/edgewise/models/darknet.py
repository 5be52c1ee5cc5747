"""Files of weights as darknet writes them: a header, then numbers, convolution by convolution.

The file says neither names nor shapes: a network says in which order darknet holds its layers.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from edgewise import store
from edgewise.data.preprocess import Preprocessing, Shape, whole
from edgewise.errors import ModelError
from edgewise.models.weights import Weights

SUFFIX = ".weights"

_VERSION = struct.Struct("<3i")
_COUNTER = "num_batches_tracked"  # of BatchNorm; darknet has none


@runtime_checkable
class InDarknetOrder(Protocol):
    """A network that says how a file of darknet holds it.

    The parts come in the order in which darknet runs them, and inside a part convolutions, each
    before its BatchNorm, in the order in which they were made.
    """

    def darknet_order(self) -> Sequence[nn.Module]: ...


@dataclass(frozen=True)
class Header:
    """The version of darknet that wrote a file, and how many images it had been trained on."""

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0

    @property
    def counter(self) -> struct.Struct:
        """How `seen` is stored: 64 bits since version 0.2, 32 before."""
        wide = self.major * 10 + self.minor >= 2 and max(self.major, self.minor) < 1000
        return struct.Struct("<q" if wide else "<i")

    @property
    def size_bytes(self) -> int:
        """Of the header in a file."""
        return _VERSION.size + self.counter.size


def read_header(path: Path) -> Header:
    """The header of a file; raises ModelError when it is absent or shorter than one."""
    if not path.is_file():
        raise ModelError(f"the weights {path} do not exist; check the path given to --weights.")
    try:
        with path.open("rb") as handle:
            return _header(handle)
    except (OSError, struct.error) as error:
        raise ModelError(f"{path} holds no header of darknet: {error}.") from error


def read_darknet(path: Path, module: nn.Module) -> Weights:
    """The weights of a network out of a file of darknet, by the network's own names.

    The network itself is not changed, and may be on no device. Raises ModelError for a network
    that darknet has no order for, a file of any other length, and values that cannot be.
    """
    layout = _layout(module, path)
    header = read_header(path)
    expected = header.size_bytes + 4 * sum(map(math.prod, layout.values()))
    size = path.stat().st_size
    if size != expected:
        raise ModelError(
            f"{path} has {size} bytes and this network takes {expected}: a header of "
            f"{header.size_bytes} and {(expected - header.size_bytes) // 4} numbers of 4. It is "
            f"{_apart(size, expected)}, or of another network: number of classes, width and so on "
            "are given by --model-option."
        )
    tensors = dict(_values(path, header, layout))
    counters = (name for name in module.state_dict() if name.endswith(_COUNTER))
    tensors |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    return Weights(tensors, store.digest_file(path))


def write_darknet(path: Path, module: nn.Module, header: Header | None = None) -> None:
    """Write the weights of a network as darknet reads them."""
    header = header or Header()
    state = module.state_dict()
    content = [_VERSION.pack(header.major, header.minor, header.revision)]
    content.append(header.counter.pack(header.seen))
    for name in _layout(module, path):
        content.append(state[name].detach().cpu().numpy().astype("<f4").tobytes())
    store.write_bytes(path, b"".join(content))


def darknet_contract(shape: Shape) -> Preprocessing:
    """What darknet's networks take: whole images, letterboxed, pixels from 0 to 1."""
    return whole(shape)


def _header(handle: IO[bytes]) -> Header:
    version = Header(*_VERSION.unpack(handle.read(_VERSION.size)))
    (seen,) = version.counter.unpack(handle.read(version.counter.size))
    return Header(version.major, version.minor, version.revision, seen)


def _layout(module: nn.Module, path: Path) -> dict[str, tuple[int, ...]]:
    """Names of a network's tensors in the order of the file, and their shapes."""
    if not isinstance(module, InDarknetOrder):
        raise ModelError(
            f"{path} is a file of darknet, and {type(module).__name__} is no network of darknet: "
            "give it safetensors, or a checkpoint that holds tensors only."
        )
    paths = {id(part): name for name, part in module.named_modules()}
    state = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    names = [
        f"{paths[id(layer)]}.{tensor}"
        for part in module.darknet_order()
        for layer, tensor in _tensors(part)
    ]
    left = {name for name in state if not name.endswith(_COUNTER)}.symmetric_difference(names)
    if left or len(set(names)) != len(names):
        raise ModelError(
            f"{type(module).__name__} does not name each of its layers once in its darknet_order, "
            f"or has layers that darknet has not: {', '.join(sorted(left)[:3])}."
        )
    return {name: state[name] for name in names}


def _tensors(part: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Layer and name of each tensor of a part, in the order of the file."""
    layers = [one for one in part.modules() if isinstance(one, nn.Conv2d | nn.BatchNorm2d)]
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.BatchNorm2d):
            continue
        if isinstance(after, nn.BatchNorm2d):
            for name in ("bias", "weight", "running_mean", "running_var"):
                yield after, name
        else:
            yield layer, "bias"
        yield layer, "weight"


def _values(
    path: Path, header: Header, layout: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, Tensor]]:
    with path.open("rb") as handle:
        handle.seek(header.size_bytes)
        for name, shape in layout.items():
            values = np.fromfile(handle, "<f4", math.prod(shape)).astype(np.float32, copy=False)
            if values.size != math.prod(shape):
                raise ModelError(f"{path} ended while it was read; copy it again.")
            if not np.isfinite(values).all():
                raise ModelError(
                    f"{path} holds values that are not finite, first in '{name}'; it is damaged, "
                    "or of another network."
                )
            if name.endswith("running_var") and values.min() < 0:
                raise ModelError(
                    f"{path} holds a negative variance in '{name}'; it is damaged, or of another "
                    "network."
                )
            yield name, torch.from_numpy(values.reshape(shape))


def _apart(size: int, expected: int) -> str:
    return "cut short" if size < expected else "followed by something else"
