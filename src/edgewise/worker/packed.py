"""Artifacts whose zeros take no room: one file, unpacked to the very bytes of the artifact.

A packed file is MAGIC, the length of a deflated JSON header (four bytes, little-endian), that
header, and the parts one after the other. Every part stands for a stretch of the artifact:

    deflate   the bytes themselves, deflated
    bitmap    one bit an item, then the items that are not zero
    delta     one byte an item that is not zero: how many zeros came before it; 255 stands for that
              many zeros and no item; then the items

where bits, bytes and items are deflated if that is smaller. Everything is checked against what the
header says before it is believed, and the whole against the artifact's digest.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .job import WorkerError

MAGIC = b"EWPACK1\n"
SUFFIX = ".packed"
KINDS = ("deflate", "bitmap", "delta")
ESCAPE = 255  # zeros in a row that take a byte of their own
_MOST_HEADER = 1 << 24
_MOST = 1 << 34


def unpack(content: bytes) -> bytes:
    """The artifact in a packed file; raises WorkerError when it is not one, or damaged."""
    try:
        return _unpack(content)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, zlib.error) as error:
        raise WorkerError(f"this packed artifact is damaged: {error!r}.") from error


def _unpack(content: bytes) -> bytes:
    if not content.startswith(MAGIC):
        raise ValueError("it does not start as one")
    at = len(MAGIC) + 4
    length = int.from_bytes(content[len(MAGIC) : at], "little")
    header = json.loads(_inflate(content[at : at + length], _MOST_HEADER, exact=False))
    at += length
    if not 0 <= header["size_bytes"] <= _MOST:
        raise ValueError("its size cannot be")
    found, left = [], int(header["size_bytes"])
    for part in header["parts"]:
        sizes = [int(size) for size in part["stored"]]
        if any(size < 0 for size in sizes) or not 0 <= part["size_bytes"] <= left:
            raise ValueError("a part is larger than the whole")
        blobs = []
        for size in sizes:
            blobs.append(content[at : at + size])
            at += size
        found.append(_part(part, blobs))
        left -= len(found[-1])
    artifact = b"".join(found)
    if hashlib.sha256(artifact).hexdigest() != header["digest"]:
        raise ValueError("its digest is another")
    return artifact


def _part(part: dict[str, Any], blobs: list[bytes]) -> bytes:
    size = int(part["size_bytes"])
    if part["kind"] == "deflate":
        (blob,) = blobs
        return _inflate(blob, size)
    item, count = int(part["item_bytes"]), int(part["items"])
    if part["kind"] not in KINDS or item not in (1, 2, 4) or not 0 <= count * item <= size:
        raise ValueError("a part of no kind that is known")
    where, values = blobs
    items = _items(_expand(values, count * item, part["deflated"][1]), item)
    whole = np.zeros(size // item, items.dtype)
    if part["kind"] == "bitmap":
        bits = np.frombuffer(_expand(where, -(-len(whole) // 8), part["deflated"][0]), np.uint8)
        places = np.flatnonzero(np.unpackbits(bits, count=len(whole)))
    else:
        gaps = np.frombuffer(_expand(where, int(part["gaps"]), part["deflated"][0]), np.uint8)
        places = _places(gaps)
    if len(places) != count:
        raise ValueError("as many items as places")
    whole[places] = items
    return whole.tobytes()


def _places(gaps: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where items stand, by the zeros before each."""
    steps = gaps.astype(np.int64) + (gaps != ESCAPE)
    ends: NDArray[np.int64] = np.cumsum(steps)[gaps != ESCAPE] - 1
    return ends


def _items(content: bytes, size: int) -> NDArray[Any]:
    return np.frombuffer(content, f"<u{size}")


def _expand(blob: bytes, size: int, deflated: bool) -> bytes:
    if deflated:
        return _inflate(blob, size)
    if len(blob) != size:
        raise ValueError("a part is cut off")
    return blob


def _inflate(blob: bytes, size: int, exact: bool = True) -> bytes:
    """Inflated to no more than `size` bytes, whatever the stream says it holds."""
    stream = zlib.decompressobj()
    content = stream.decompress(blob, size + 1)
    if len(content) > size or not stream.eof or (exact and len(content) != size):
        raise ValueError("a part is not as long as it should be")
    return content
