"""Packing of artifacts: what zero weights save in a file (see worker.packed for the format)."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise import store
from edgewise.worker.packed import ESCAPE, MAGIC

_LEVEL = 9
_LEAST = 64  # bytes; a shorter stretch is worth no part of its own


@dataclass(frozen=True)
class Stretch:
    """Where an artifact holds weights: first byte, bytes in all, bytes an item."""

    start: int
    size_bytes: int
    item_bytes: int


@dataclass(frozen=True)
class Storage:
    """What a file of weights takes, in bytes, stored in one way or another.

    dense: as it is; deflated: the whole file by zlib; bitmap, delta: all weights packed that way,
    and the rest deflated; packed: each stretch in the way that is smallest; bound: what no code of
    positions and values can fall below, with the values as they are distributed, for the weights
    alone; zeros: share of the weights.
    """

    dense: int
    deflated: int
    bitmap: int
    delta: int
    packed: int
    bound: float
    zeros: float


@dataclass(frozen=True)
class _Part:
    header: dict[str, Any]
    blobs: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.blobs))


def find(artifact: bytes, weights: Sequence[tuple[bytes, int]]) -> tuple[Stretch, ...]:
    """Where an artifact holds each of `weights` (content, bytes an item), in file order.

    What is not found, for instance because the file stores it otherwise, is left out.
    """
    found: list[Stretch] = []
    for content, item in weights:
        start = artifact.find(content) if len(content) >= _LEAST else -1
        if start >= 0:
            found.append(Stretch(start, len(content), item))
    found.sort(key=lambda one: one.start)
    apart, end = [], 0
    for one in found:
        if one.start >= end:  # equal weights are found at the same place
            apart.append(one)
            end = one.start + one.size_bytes
    return tuple(apart)


def pack(artifact: bytes, stretches: Sequence[Stretch]) -> bytes:
    """The packed file, each stretch in the way that is smallest."""
    return _smallest(artifact, _ways(artifact, stretches))


def storage(artifact: bytes, stretches: Sequence[Stretch]) -> Storage:
    """Every way to store an artifact, side by side."""
    ways = _ways(artifact, stretches)
    sizes = {
        kind: len(_written(artifact, [_of_kind(one, kind) for one in ways]))
        for kind in ("bitmap", "delta")
    }
    items = [_items(artifact, one) for one in stretches]
    count = sum(len(one) for one in items)
    zeros = sum(int((one == 0).sum()) for one in items)
    return Storage(
        dense=len(artifact),
        deflated=len(zlib.compress(artifact, _LEVEL)),
        bitmap=sizes["bitmap"],
        delta=sizes["delta"],
        packed=len(_smallest(artifact, ways)),
        bound=sum(map(entropy_bytes, items)),
        zeros=zeros / max(count, 1),
    )


def entropy_bytes(items: NDArray[Any]) -> float:
    """Shannon's bound for items that are drawn one by one from what was seen: positions of zeros
    and values together, in bytes."""
    _, counts = np.unique(items, return_counts=True)
    shares = counts / max(len(items), 1)
    return float(-(shares * np.log2(shares)).sum() * len(items) / 8)


def _ways(artifact: bytes, stretches: Sequence[Stretch]) -> list[list[_Part]]:
    """The whole artifact in order: what is between stretches deflated, each of them in all ways."""
    ways, end = [], 0
    for one in stretches:
        ways.append([_deflated(artifact[end : one.start])])
        end = one.start + one.size_bytes
        items = _items(artifact, one)
        ways.append([_deflated(artifact[one.start : end]), _bitmap(items), _delta(items)])
    return [*ways, [_deflated(artifact[end:])]]


def _smallest(artifact: bytes, ways: Sequence[Sequence[_Part]]) -> bytes:
    return _written(artifact, [min(some, key=lambda part: part.size) for some in ways])


def _of_kind(ways: Sequence[_Part], kind: str) -> _Part:
    return next((part for part in ways if part.header["kind"] == kind), ways[0])


def _items(artifact: bytes, stretch: Stretch) -> NDArray[Any]:
    return np.frombuffer(
        artifact, f"<u{stretch.item_bytes}", stretch.size_bytes // stretch.item_bytes, stretch.start
    )


def _deflated(content: bytes) -> _Part:
    blob = zlib.compress(content, _LEVEL)
    return _Part({"kind": "deflate", "size_bytes": len(content), "stored": [len(blob)]}, (blob,))


def _bitmap(items: NDArray[Any]) -> _Part:
    return _sparse("bitmap", items, np.packbits(items != 0).tobytes(), {})


def _delta(items: NDArray[Any]) -> _Part:
    places = np.flatnonzero(items)
    zeros = np.diff(places, prepend=-1) - 1
    escapes, rest = zeros // ESCAPE, zeros % ESCAPE
    gaps = np.full(int((escapes + 1).sum()), ESCAPE, np.uint8)
    gaps[np.cumsum(escapes + 1) - 1] = rest
    return _sparse("delta", items, gaps.tobytes(), {"gaps": len(gaps)})


def _sparse(kind: str, items: NDArray[Any], where: bytes, more: dict[str, int]) -> _Part:
    values = items[items != 0]
    blobs = [where, values.tobytes()]
    smaller = [zlib.compress(blob, _LEVEL) for blob in blobs]
    deflated = [len(one) < len(blob) for one, blob in zip(smaller, blobs, strict=True)]
    chosen = tuple(s if d else b for s, d, b in zip(smaller, deflated, blobs, strict=True))
    header = {
        "kind": kind,
        "size_bytes": items.nbytes,
        "item_bytes": items.itemsize,
        "items": len(values),
        "stored": [len(blob) for blob in chosen],
        "deflated": deflated,
        **more,
    }
    return _Part(header, chosen)


def _written(artifact: bytes, parts: Sequence[_Part]) -> bytes:
    content = {
        "digest": store.digest(artifact),
        "size_bytes": len(artifact),
        "parts": [part.header for part in parts],
    }
    header = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), _LEVEL)
    blobs = [blob for part in parts for blob in part.blobs]
    return b"".join([MAGIC, len(header).to_bytes(4, "little"), header, *blobs])
