"""The IDX format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist)."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError

_UINT8 = 0x08
_LARGEST = 1 << 32  # no set of this family is near 4 GiB; a hostile header can claim anything


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, gzipped or not, as an array of the shape in its header.

    Raises DataError when the file is absent, is not IDX, or is shorter or longer than its header
    says.
    """
    return parse_idx(_content(path), str(path))


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array in the bytes of an IDX file; `name` is for the error."""
    if len(content) < 4:
        raise DataError(f"{name} is cut short: {len(content)} bytes hold no IDX header.")
    zero, kind, rank = struct.unpack(">HBB", content[:4])
    if zero or kind != _UINT8 or not 1 <= rank <= 4:
        raise DataError(f"{name} is not an IDX file of unsigned bytes.")
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(f"{name} is cut short inside its IDX header.")
    shape = struct.unpack(f">{rank}I", content[4:header])
    expected = math.prod(shape)
    if expected > _LARGEST or len(content) - header != expected:
        raise DataError(
            f"{name} should hold {expected} bytes of data by its header and holds "
            f"{len(content) - header}; fetch it again."
        )
    if math.prod(max(size, 1) for size in shape) > _LARGEST:  # of nothing, but in too many rows
        raise DataError(f"{name} has a header of the shape {shape}, which no array can have.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The bytes of the IDX file that holds `array`."""
    return idx_header(array.shape) + np.ascontiguousarray(array).tobytes()


def idx_header(shape: tuple[int, ...]) -> bytes:
    """The bytes before the data of an IDX file of unsigned bytes of that shape."""
    return struct.pack(f">HBB{len(shape)}I", 0, _UINT8, len(shape), *shape)


def map_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An IDX file that is not gzipped and has that shape, read from disk only where it is used.

    Raises DataError when the file is absent or another one.
    """
    header = idx_header(shape)
    try:
        with path.open("rb") as handle:
            same = handle.read(len(header)) == header
        if not same or path.stat().st_size != len(header) + math.prod(shape):
            raise DataError(f"{path} is not an IDX file of the shape {shape}; fetch it again.")
        return np.asarray(np.memmap(path, np.uint8, "r", len(header), shape))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; fetch it again.") from error


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        if raw[:2] != b"\x1f\x8b":
            return raw
        with gzip.open(path) as handle:
            content = handle.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; `edgewise data fetch` brings it.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; fetch it again.") from error
    return content
