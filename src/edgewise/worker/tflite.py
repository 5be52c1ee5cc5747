"""What a TFLite file must be before the runtime may look at it.

The runtime checks that a file is a flatbuffer, not that its numbers make sense: an operator that
reads a tensor that is not there, or weights shorter than their shape, ends its process. Offsets and
field numbers are those of the published schema, version 3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

from .job import WorkerError

_IDENTIFIER = b"TFL3"
_VERSION, _CODES, _GRAPHS, _BUFFERS = 0, 1, 2, 4  # fields of a model
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3  # of a graph
_SHAPE, _TYPE, _BUFFER, _STEPS = 0, 1, 2, 4  # of a tensor
_SCALE, _ZERO = 2, 3  # of what its codes stand for
_CODE, _READS, _WRITES = 0, 1, 2  # of an operator
_DATA = 0  # of a buffer

# Bits of the types of numbers, by the schema's number for them: float32, float16, int32, ...
_BITS = {
    0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 9: 8, 10: 64, 12: 64, 15: 32, 16: 16, 17: 4,
    18: 16, 19: 2, 20: 4,
}  # fmt: skip
_UINT8, _INT8 = 3, 9
_MOST_VALUES = 1 << 31


def check(content: bytes) -> None:
    """Raises WorkerError for what is no TFLite model, or one that reads what it does not hold."""
    if content[4:8] != _IDENTIFIER:
        raise WorkerError("it is no TFLite model: the mark TFL3 is missing at its start.")
    try:
        _check_model(_Table(content, _offset(content, 0)))
    except (struct.error, IndexError, OverflowError) as error:
        raise WorkerError(f"it is cut short or damaged: {error}.") from error


def _check_model(model: _Table) -> None:
    if model.number(_VERSION, "I") != 3:
        raise WorkerError("it is damaged, or of another schema than version 3.")
    buffers = [table.length(_DATA) for table in model.tables(_BUFFERS)]
    codes = model.length(_CODES)
    graphs = list(model.tables(_GRAPHS))
    if not graphs:
        raise WorkerError("it holds no graph.")
    for graph in graphs:
        _check_graph(graph, buffers, codes)


def _check_graph(graph: _Table, buffers: list[int], codes: int) -> None:
    count = 0
    for tensor in graph.tables(_TENSORS):
        _check_tensor(tensor, buffers, count)
        count += 1
    lists = [(graph.numbers(_INPUTS), 0), (graph.numbers(_OUTPUTS), 0)]
    for operator in graph.tables(_OPERATORS):
        if not 0 <= operator.number(_CODE, "I") < codes:
            raise WorkerError("it is damaged: an operator is of no kind that it names.")
        lists += [(operator.numbers(_READS), -1), (operator.numbers(_WRITES), 0)]  # -1: left out
    for indices, least in lists:
        if indices and not (least <= min(indices) and max(indices) < count):
            raise WorkerError(f"it is damaged: it reads a tensor that is none of its {count}.")


def _check_tensor(tensor: _Table, buffers: list[int], place: int) -> None:
    shape, buffer = tensor.numbers(_SHAPE), tensor.number(_BUFFER, "I")
    values = math.prod(shape)
    if any(size < 0 for size in shape) or values >= _MOST_VALUES:
        raise WorkerError(f"it is damaged: tensor {place} has the shape {list(shape)}.")
    if buffer >= len(buffers):
        raise WorkerError(f"it is damaged: tensor {place} has no buffer.")
    bits = _BITS.get(tensor.number(_TYPE, "b"))
    if buffers[buffer] and bits is not None and buffers[buffer] != -(-values * bits // 8):
        raise WorkerError(f"it is damaged: the content of tensor {place} is not of its shape.")
    steps = tensor.table(_STEPS)
    if steps is not None and not _have_meaning(steps, tensor.number(_TYPE, "b")):
        raise WorkerError(f"it is damaged: tensor {place} has a scale or zero point of no meaning.")


def _have_meaning(steps: _Table, kind: int) -> bool:
    low, high = {_UINT8: (0, 255), _INT8: (-128, 127)}.get(kind, (-(1 << 31), (1 << 31) - 1))
    scales, zeros = steps.numbers(_SCALE, "f"), steps.numbers(_ZERO, "q")
    return all(scale >= 0 and math.isfinite(scale) for scale in scales) and all(
        low <= zero <= high for zero in zeros
    )


def _offset(content: bytes, place: int) -> int:
    """Where an offset at a place leads to."""
    (distance,) = struct.unpack_from("<I", content, place)
    return int(place + distance)


class _Table:
    """A flatbuffer table; absent fields are 0 or empty. Raises struct.error beyond the file."""

    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self._place = place
        (back,) = struct.unpack_from("<i", content, place)
        self._fields = place - back
        if not 0 <= self._fields <= len(content):
            raise IndexError("a table is described outside of the file")
        (self._size,) = struct.unpack_from("<H", content, self._fields)

    def number(self, field: int, form: str) -> int:
        place = self._find(field)
        return 0 if place is None else int(struct.unpack_from(f"<{form}", self._content, place)[0])

    def length(self, field: int) -> int:
        """How many elements a vector has."""
        return self._vector(field)[1]

    def table(self, field: int) -> _Table | None:
        """A table within this one."""
        place = self._find(field)
        return None if place is None else _Table(self._content, _offset(self._content, place))

    def numbers(self, field: int, form: str = "i") -> tuple[Any, ...]:
        """A vector of numbers, by default int32."""
        start, length = self._vector(field)
        found: tuple[Any, ...] = struct.unpack_from(f"<{length}{form}", self._content, start)
        return found

    def tables(self, field: int) -> Iterator[_Table]:
        """A vector of tables."""
        start, length = self._vector(field)
        for index in range(length):
            yield _Table(self._content, _offset(self._content, start + 4 * index))

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._find(field)
        if place is None:
            return 0, 0
        start = _offset(self._content, place)
        (length,) = struct.unpack_from("<I", self._content, start)
        if start + 4 + length > len(self._content):
            raise IndexError("a list ends beyond the file")
        return start + 4, int(length)

    def _find(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        (distance,) = struct.unpack_from("<H", self._content, self._fields + entry)
        return self._place + distance if distance else None
