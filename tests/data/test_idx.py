import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgewise.data.idx import idx_bytes, map_idx, parse_idx, read_idx
from edgewise.errors import DataError

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))


@given(array=ARRAYS)
def test_bytes_and_back(array: NDArray[np.uint8]) -> None:
    again = parse_idx(idx_bytes(array), "x")
    assert again.shape == array.shape
    assert np.array_equal(again, array)


@given(array=ARRAYS, data=st.data())
def test_a_cut_anywhere_is_refused(array: NDArray[np.uint8], data: st.DataObject) -> None:
    whole = idx_bytes(array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DataError, match="images"):
        parse_idx(whole[:cut], "images")
    with pytest.raises(DataError, match="images"):
        parse_idx(whole + b"\0", "images")


@given(content=st.binary(max_size=60))
def test_any_bytes_give_an_array_or_a_clear_error(content: bytes) -> None:
    try:
        array = parse_idx(content, "x")
    except DataError:
        return
    assert idx_bytes(array) == content


@given(shape=st.lists(st.integers(0, 2**32 - 1), max_size=5), size=st.integers(0, 9))
def test_any_header_gives_an_array_or_a_clear_error(shape: list[int], size: int) -> None:
    content = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(size)
    possible = math.prod(max(one, 1) for one in shape) <= 1 << 32
    if 1 <= len(shape) <= 4 and math.prod(shape) == size and possible:
        assert parse_idx(content, "x").shape == tuple(shape)
        return
    with pytest.raises(DataError, match="x "):
        parse_idx(content, "x")


def test_the_published_header() -> None:
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", 1, 2, 2) + bytes([1, 2, 3, 4])
    assert parse_idx(content, "x").tolist() == [[[1, 2], [3, 4]]]


def test_gzipped_or_not(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    plain, zipped = tmp_path / "a", tmp_path / "a.gz"
    plain.write_bytes(idx_bytes(array))
    zipped.write_bytes(gzip.compress(idx_bytes(array)))
    assert read_idx(plain).tolist() == read_idx(zipped).tolist() == array.tolist()


def test_damaged_or_absent_files_are_named(tmp_path: Path) -> None:
    zipped = tmp_path / "a.gz"
    zipped.write_bytes(gzip.compress(bytes(999))[:-9])
    with pytest.raises(DataError, match=r"a\.gz cannot be read"):
        read_idx(zipped)
    with pytest.raises(DataError, match="does not exist"):
        read_idx(tmp_path / "b")


def test_a_header_cannot_claim_the_memory() -> None:
    with pytest.raises(DataError, match="should hold"):
        parse_idx(bytes([0, 0, 8, 4]) + b"\xff" * 16, "x")


def test_a_mapped_file_is_what_a_read_one_is(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    file = tmp_path / "a"
    file.write_bytes(idx_bytes(array))
    assert np.array_equal(map_idx(file, (3, 4, 5)), array)
    assert not map_idx(file, (3, 4, 5)).flags.writeable
    for shape in ((3, 5, 4), (60,), (3, 4, 5, 1)):
        with pytest.raises(DataError, match="not an IDX file of the shape"):
            map_idx(file, shape)
    file.write_bytes(idx_bytes(array)[:-1])
    with pytest.raises(DataError, match="not an IDX file of the shape"):
        map_idx(file, (3, 4, 5))
    with pytest.raises(DataError, match="cannot be read"):
        map_idx(tmp_path / "absent", (1,))
