import contextlib
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.targets.packing import Stretch, entropy_bytes, find, pack, storage
from edgewise.worker.job import WorkerError
from edgewise.worker.packed import MAGIC, unpack

TYPES = {1: np.int8, 2: np.float16, 4: np.float32}


def weights(count: int, share: float, size: int, seed: int) -> bytes:
    draw = np.random.default_rng(seed)
    values = (draw.normal(size=count) * 40).astype(TYPES[size])
    values[draw.random(count) >= share] = 0
    return values.tobytes()


@given(
    count=st.integers(0, 3000), share=st.sampled_from([0.0, 0.002, 0.05, 0.5, 1.0]),
    size=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99), around=st.binary(max_size=50),
)  # fmt: skip
def test_a_packed_artifact_unpacks_to_the_same_bytes(
    count: int, share: float, size: int, seed: int, around: bytes
) -> None:
    content = weights(count, share, size, seed)
    artifact = around + content + around
    for stretches in ((Stretch(len(around), len(content), size),), ()):
        assert unpack(pack(artifact, stretches)) == artifact
        kept = storage(artifact, stretches)
        assert kept.packed <= min(kept.bitmap, kept.delta) + 60  # headers deflate unalike


def test_long_gaps_are_told_by_escapes() -> None:
    for gap in (0, 1, 253, 254, 255, 256, 509, 510, 511, 5000):
        values = np.zeros(2 * gap + 60, np.int8)
        values[[gap, 2 * gap + 1, -1]] = (1, -2, 3)
        artifact = values.tobytes()
        assert unpack(pack(artifact, [Stretch(0, len(artifact), 1)])) == artifact


def test_sizes_are_between_the_bound_and_dense() -> None:
    count = 400_000
    content = weights(count, 0.05, 1, 0)
    kept = storage(content, [Stretch(0, count, 1)])
    assert kept.zeros == pytest.approx(0.95, abs=0.005)
    assert kept.bound < kept.packed < 1.15 * kept.bound
    assert kept.packed < kept.deflated < kept.dense == count
    assert kept.bound < kept.delta < kept.bitmap < count / 8 + 0.05 * count * 1.05
    assert entropy_bytes(np.zeros(100, np.uint8)) == 0
    assert entropy_bytes(np.arange(256, dtype=np.uint8)) == pytest.approx(256)


def test_weights_are_found_where_they_are_and_once() -> None:
    one, two = weights(200, 0.5, 1, 1), weights(100, 0.5, 4, 2)
    artifact = b"head" + two + b"between" + one + b"tail"
    found = find(artifact, [(one, 1), (two, 4), (one, 1), (b"absent" * 20, 1), (b"t", 1)])
    assert found == (Stretch(4, 400, 4), Stretch(411, 200, 1))
    assert unpack(pack(artifact, found)) == artifact


PACKED = pack(weights(500, 0.1, 1, 3), [Stretch(0, 500, 1)])


def rewritten(change: dict[str, Any], part: dict[str, Any]) -> bytes:
    at = len(MAGIC) + 4
    length = int.from_bytes(PACKED[len(MAGIC) : at], "little")
    header = json.loads(zlib.decompress(PACKED[at : at + length]))
    header["parts"][1] |= part
    header = zlib.compress(json.dumps(header | change).encode())
    return MAGIC + len(header).to_bytes(4, "little") + header + PACKED[at + length :]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"size_bytes": -1}, {}), ({"size_bytes": 1 << 60}, {}), ({"size_bytes": 499}, {}),
        ({"digest": "0" * 64}, {}), ({"parts": 7}, {}), ({"parts": [{}]}, {}),
        ({}, {"kind": "exec"}), ({}, {"item_bytes": 3}), ({}, {"item_bytes": 4}),
        ({}, {"items": -1}), ({}, {"items": 1}), ({}, {"items": 10**9}), ({}, {"gaps": -5}),
        ({}, {"gaps": 1}), ({}, {"stored": [1]}), ({}, {"stored": [-1, 3]}),
        ({}, {"deflated": [True, True]}), ({}, {"size_bytes": 10**12}), ({}, {"size_bytes": 5}),
        ({}, {"stored": None}), ({}, {"deflated": []}),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(change: dict[str, Any], part: dict[str, Any]) -> None:
    with pytest.raises(WorkerError, match="damaged"):
        unpack(rewritten(change, part))


@given(st.data())
@settings(max_examples=200)
def test_damage_anywhere_is_seen(data: st.DataObject) -> None:
    content = bytearray(PACKED)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        with contextlib.suppress(WorkerError):
            assert unpack(bytes(content)) == unpack(PACKED)
    else:
        with pytest.raises(WorkerError, match="damaged"):
            unpack(bytes(content[: data.draw(st.integers(0, len(content) - 1))]))


def test_a_bomb_does_not_go_off() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    header = {"digest": "0" * 64, "size_bytes": 10,
              "parts": [{"kind": "deflate", "size_bytes": 10, "stored": [len(bomb)]}]}  # fmt: skip
    deflated = zlib.compress(json.dumps(header).encode())
    with pytest.raises(WorkerError, match="damaged"):
        unpack(MAGIC + len(deflated).to_bytes(4, "little") + deflated + bomb)
