import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.data.splits import array_split, divide, partition
from edgewise.errors import DataError


def numbered(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images that say which they are, with the same number as label."""
    labels = np.arange(count)
    return labels.astype(np.uint8).reshape(-1, 1, 1, 1), labels


@given(count=st.integers(4, 250), data=st.data())
def test_parts_are_disjoint_and_keep_their_labels(count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, count - 1))
    images, labels = numbered(count)
    parts = partition(images, labels, {"train": first, "test": count - first})
    assert [len(part) for part in parts] == [first, count - first]
    seen = []
    for part in parts:
        assert part.labels is not None
        assert part.images.read(0, len(part)).reshape(-1).tolist() == part.labels.tolist()
        seen += part.labels.tolist()
    assert sorted(seen) == list(range(count))


@given(count=st.integers(0, 300), labelled=st.booleans())
def test_every_image_goes_to_one_split_and_none_is_empty(count: int, labelled: bool) -> None:
    if count < (4 if labelled else 2):
        with pytest.raises(DataError, match=f"photos holds {count} images"):
            divide(count, labelled, "photos")
        return
    parts = divide(count, labelled, "photos")
    assert list(parts) == (
        ["train", "calibration", "validation", "test"] if labelled else ["calibration", "test"]
    )
    assert min(len(part) for part in parts.values()) >= 1
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(count))


def test_shares() -> None:
    sizes = {name: len(part) for name, part in divide(1000, True, "x").items()}
    assert sizes == {"train": 600, "calibration": 100, "validation": 150, "test": 150}
    assert {len(part) for part in divide(1000, False, "x").values()} == {500}


def test_the_published_order() -> None:
    chosen = divide(12, False, "x")
    assert chosen["calibration"].tolist() == [1, 3, 4, 5, 6, 9]


def test_digest_is_over_shape_pixels_and_labels() -> None:
    images, labels = numbered(3)
    expected = hashlib.sha256(b"(3, 1, 1, 1)" + bytes([0, 1, 2]) + labels.astype("<i8").tobytes())
    assert array_split("train", images, labels).digest == expected.hexdigest()
    others = [
        array_split("train", images, None),
        array_split("train", images, labels[::-1].copy()),
        array_split("train", images[::-1], labels),
        array_split("train", images.reshape(1, 3, 1, 1), labels[:1]),
    ]
    assert len({split.digest for split in others} | {expected.hexdigest()}) == 5


def test_what_does_not_match_is_refused() -> None:
    images, labels = numbered(3)
    with pytest.raises(DataError, match="3 images and 2 labels"):
        array_split("train", images, labels[:2])
    with pytest.raises(DataError, match="3 images and 2 labels"):
        partition(images, labels[:2], {"train": 2})
    with pytest.raises(DataError, match="cannot be split"):
        partition(images, labels, {"train": 3, "test": 1})
