import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import python2
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgewise.data.pickles import read_pickle, read_pickle_file
from edgewise.errors import DataError

ARRAYS = st.sampled_from([np.uint8, np.float32, np.int64]).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=4, max_side=4))
)


@settings(deadline=None)
@given(array=ARRAYS, fortran=st.booleans())
@pytest.mark.parametrize("write", [python2.dumps, pickle.dumps], ids=["python2", "python3"])
def test_arrays_come_back(write: Any, array: NDArray[Any], fortran: bool) -> None:
    stored = np.asfortranarray(array) if fortran else array
    content = write({b"data": stored, b"labels": [1, 2], b"other": (None, "text", 0.5)})
    loaded = read_pickle(content, "x")
    assert loaded[b"data"].dtype == array.dtype
    np.testing.assert_array_equal(loaded[b"data"], array)
    assert loaded[b"labels"] == [1, 2]
    assert loaded[b"other"][2] == 0.5


def test_python_2_pickles_are_what_is_tested() -> None:
    """The first bytes of a published batch of CIFAR-10 and of MNIST, as far as they are alike."""
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq"
    assert python2.dumps(np.zeros(3, np.uint8)).startswith(start)


@settings(deadline=None)
@given(array=ARRAYS, data=st.data())
def test_a_cut_anywhere_is_refused(array: NDArray[Any], data: st.DataObject) -> None:
    content = python2.dumps(array)
    with pytest.raises(DataError, match="batch was refused"):
        read_pickle(content[: data.draw(st.integers(0, len(content) - 1))], "batch")


@settings(deadline=None)
@given(content=st.binary(max_size=80))
def test_any_bytes_give_plain_values_or_a_clear_error(content: bytes) -> None:
    try:
        loaded = read_pickle(content, "batch")
    except DataError:
        return
    assert isinstance(loaded, bytes | str | int | float | dict | list | tuple | None)


class Hostile:
    """Leaves a trace when unpickled by anything that runs it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({"data": Hostile(trace)}, protocol)
    with pytest.raises(DataError, match="mkdir, which no data set needs"):
        read_pickle(content, "batch")
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists(), "the pickle was not hostile at all"


def array_state(shape: Any, code: bytes, raw: Any, order: bytes = b"<") -> bytes:
    """A pickled array with a state of our choosing."""
    kind = b"cnumpy\ndtype\n" + argument(code) + b"\x85R" + argument((3, order)) + b"b"
    state = argument((1,)) + argument(shape) + kind + argument(False) + argument(raw)
    # 1 and the rest as one tuple of five: MARK 1 shape kind False raw TUPLE
    state = b"(" + argument(1) + state[len(argument((1,))) :] + b"t"
    return b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R" + state + b"b."


def argument(value: Any) -> bytes:
    """The operations that put a plain value on the stack."""
    return python2.dumps(value)[2:-1]


def test_the_maker_of_states_makes_arrays() -> None:
    assert read_pickle(array_state((2,), b"u1", b"\1\2"), "x").tolist() == [1, 2]


HOSTILE_STATES = {
    "objects": array_state((1,), b"O8", b"\0" * 8),
    "strings": array_state((1,), b"S8", b"\0" * 8),
    "too few bytes": array_state((3,), b"u1", b"\0\0"),
    "too many bytes": array_state((1,), b"u1", b"\0\0"),
    "negative": array_state((-1, -2), b"u1", b"\0\0"),
    "enormous": array_state((2**31, 2**31, 2**31), b"f4", b""),
    "not a shape": array_state(5, b"u1", b"\0" * 5),
    "shape of text": array_state((b"a",), b"u1", b"\0"),
    "no bytes": array_state((1,), b"u1", [0]),
    "big endian": array_state((1,), b"f4", b"\0" * 4, b">"),
    "a number for a type": array_state((1,), 10**9, b"\0"),  # type: ignore[arg-type]
    "no state": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
    "a class": b"\x80\x02cnumpy\nndarray\n.",
    "a type": b"\x80\x02cnumpy\ndtype\n)R.",
    "ordered dict": pickle.dumps(OrderedDict(a=1)),
    "set": pickle.dumps({1, 2}, 4),
    "function": pickle.dumps(os.getcwd),
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"Pabc\n.",
    "huge string": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "huge memo": b"\x80\x02Nr\xff\xff\xff\xff.",
    "of itself": b"\x80\x02]q\x00h\x00a.",
    "deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "attributes of ours": b"\x80\x02cnumpy\nndarray\n}(U\x04nameU\x01xub.",
    "instance of ours": b"(inumpy\nndarray\n.",
}


@pytest.mark.parametrize("content", HOSTILE_STATES.values(), ids=HOSTILE_STATES.keys())
def test_hostile_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="Nothing in it was executed"):
        read_pickle(content, "batch")


def test_lists_that_double_at_every_level_do_not_fill_the_memory() -> None:
    value: Any = [0] * 100
    for _ in range(6):
        value = [value] * 100
    content = pickle.dumps(value)
    assert len(content) < 5_000
    with pytest.raises(DataError, match="refused"):
        read_pickle(content, "batch")


def test_a_stream_is_read_as_bytes_are() -> None:
    content = python2.dumps([np.arange(3, dtype=np.float32)])
    assert read_pickle(io.BytesIO(content), "x")[0].tolist() == [0, 1, 2]


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "data_batch_1"
    with pytest.raises(DataError, match="data_batch_1 cannot be read"):
        read_pickle_file(file, 100)
    file.write_bytes(python2.dumps([1, 2]))
    assert read_pickle_file(file, 100) == [1, 2]
    file.write_bytes(bytes(101))
    with pytest.raises(DataError, match="larger than 100 bytes"):
        read_pickle_file(file, 100)
