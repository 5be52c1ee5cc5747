"""Named arrays as the content of one file, and back; nothing in it is executed."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError

_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RuntimeError, MemoryError,
    NotImplementedError, OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def to_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of a file that `from_npz` reads."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """Its arrays; raises DataError where it is another file or damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored}
    except _DAMAGED as error:
        raise DataError(f"this is no file of named arrays: {error!r}.") from error
