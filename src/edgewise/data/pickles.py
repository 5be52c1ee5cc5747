"""Arrays out of published pickles, without ever running what a pickle says.

A pickle is a small program that may call anything. Here it can call three recorders of ours and
nothing else: numpy itself never sees a pickled state, and the array is built afterwards from the
recorded shape, type and bytes, each of them checked.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError

_TYPES = {b"u1": "<u1", b"|u1": "<u1", b"f4": "<f4", b"i8": "<i8"}  # of the sets that we read
_LARGEST = 1 << 32
_MOST_VALUES = 1_000_000  # a published batch has 20,005


class _Kind:
    """Stands in for numpy.dtype: remembers its code and byte order."""

    def __init__(self, *arguments: Any) -> None:
        self.code = _bytes(arguments[0] if arguments else b"")
        self.order = b"|"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1:
            self.order = _bytes(state[1])


class _Array:
    """Stands in for numpy.ndarray and for its constructor: remembers the pickled state."""

    def __init__(self, *arguments: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise DataError(
                f"it asks for {module_name}.{global_name}, which no data set needs"
            ) from None


class Stream(Protocol):
    """What a pickle is read from."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


def read_pickle(content: bytes | Stream, name: str) -> Any:
    """What a pickle of numpy arrays, dicts, lists, tuples, numbers and strings holds.

    Strings of Python 2 come back as bytes. Raises DataError, which speaks of `name`, for anything
    else; nothing in the pickle is executed.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        loaded = _Restricted(stream, encoding="bytes").load()
        return _Rebuild().value(loaded, depth=0)
    except Exception as error:  # an unpickler raises what the bytes dictate
        reason = str(error) if isinstance(error, DataError) else type(error).__name__
        raise DataError(
            f"{name} was refused: it is cut short or is not a pickle of plain arrays ({reason}). "
            "Nothing in it was executed; get the file from its publisher again."
        ) from error


def read_pickle_file(path: Path, most_bytes: int) -> Any:
    """The same from a file, which is refused before it is read when it is larger than that."""
    try:
        if path.stat().st_size > most_bytes:
            raise DataError(f"{path} is larger than {most_bytes} bytes; fetch it again.")
        return read_pickle(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


class _Rebuild:
    """Makes recorded arrays real, within bounds that no data set reaches.

    Sharing lets a pickle of some bytes describe lists of lists without end, so values are counted.
    """

    def __init__(self) -> None:
        self.left = _MOST_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if depth > 8 or self.left < 0:
            raise DataError("it is nested too deeply")
        if isinstance(value, _Array):
            return _array(value.state)
        if isinstance(value, dict):
            return {self.key(key): self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.value(item, depth + 1) for item in value)
        return self.key(value)

    def key(self, value: Any) -> Any:
        if value is None or isinstance(value, bytes | str | int | float):
            return value
        raise DataError(f"it holds a {type(value).__name__.strip('_')}")


def _array(state: Any) -> NDArray[Any]:
    """The array that the state (version, shape, type, in Fortran order, raw bytes) describes."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Kind):
        raise DataError("an array in it has no state")
    _, shape, kind, fortran, raw = state
    if kind.code not in _TYPES or kind.order not in (b"<", b"|"):
        raise DataError("an array in it is neither of bytes, of floats nor of integers")
    if not isinstance(raw, bytes) or not isinstance(shape, tuple):
        raise DataError("an array in it has no bytes")
    if not all(isinstance(size, int) and 0 <= size < _LARGEST for size in shape):
        raise DataError("an array in it has an impossible shape")
    stored = np.dtype(_TYPES[kind.code])
    if len(shape) > 4 or math.prod(shape) * stored.itemsize != len(raw):
        raise DataError("an array in it is cut short")
    return np.frombuffer(raw, stored).reshape(shape, order="F" if fortran else "C")


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    return value if isinstance(value, bytes) else b""
