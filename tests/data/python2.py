"""Pickles as Python 2 wrote them: the form in which CIFAR-10 and MNIST were published."""

import io
import pickle
import struct
from typing import Any

_Pickler: Any = pickle._Pickler  # the one written in Python, which can be changed


class _Writer(_Pickler):  # type: ignore[misc]
    dispatch = dict(_Pickler.dispatch)

    def save_string(self, value: bytes | str) -> None:
        raw = value.encode() if isinstance(value, str) else value
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = save_string
    dispatch[str] = save_string


def dumps(value: Any) -> bytes:
    """Protocol 2, strings as bytes, numpy's old module names."""
    stream = io.BytesIO()
    _Writer(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")
