import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels, finished, natural
from edgewise.data.splits import array_split
from edgewise.errors import DataError, UsageError

PIXELS = np.random.default_rng(1).integers(0, 256, (11, 4, 5, 3), np.uint8)
SPLIT = Split("test", ArrayImages(PIXELS), np.arange(11), "abc")
CONTRACT = natural((3, 4, 5))


@given(size=st.integers(1, 14))
def test_batches_are_all_images_in_order(size: int) -> None:
    batches = list(SPLIT.batches(size, CONTRACT))
    assert all(len(batch) == size for batch in batches[:-1])
    assert np.array_equal(np.concatenate(batches), CONTRACT.apply(PIXELS))


@given(size=st.integers(1, 14), bad=st.integers(0, 10), value=st.sampled_from([np.nan, np.inf]))
def test_the_first_image_that_is_not_finite_is_named(size: int, bad: int, value: float) -> None:
    images = np.zeros((11, 1, 2, 2), np.float32)
    images[bad:, 0, 1, 0] = value
    split = array_split("odd", images, None)
    with pytest.raises(DataError, match=f"image {bad} of odd holds values that are not finite"):
        list(split.batches(size, finished((1, 2, 2))))


@given(limit=st.integers(1, 14), size=st.integers(1, 14))
def test_a_head_is_the_first_images(limit: int, size: int) -> None:
    head = SPLIT.head(limit)
    assert len(head) == min(limit, 11)
    assert head.labels is not None
    assert head.labels.tolist() == list(range(min(limit, 11)))
    got = np.concatenate(list(head.batches(size, CONTRACT)))
    assert np.array_equal(got, CONTRACT.apply(PIXELS[:limit]))
    assert (head.digest == SPLIT.digest) == (limit >= 11)


def test_a_head_reads_nothing_until_it_is_asked() -> None:
    class Unread:
        def __len__(self) -> int:
            return 1_000_000

        def read(self, start: int, stop: int) -> Pixels:
            assert (start, stop) == (0, 2)
            return PIXELS[:2]

    head = Split("train", Unread(), None, "x").head(500_000)
    assert len(head) == 500_000
    assert len(next(head.batches(2, CONTRACT))) == 2


def test_no_images_are_not_a_head() -> None:
    with pytest.raises(UsageError, match="one or more"):
        SPLIT.head(0)


def test_an_absent_split_is_named_with_those_there_are() -> None:
    dataset = Dataset("photos", (), CONTRACT, (SPLIT,))
    assert dataset.split("test") is SPLIT
    assert dataset.digests() == {"photos/test": "abc"}
    with pytest.raises(DataError, match="photos has no split 'train'; it has test"):
        dataset.split("train")


def test_joined_splits_keep_what_all_of_them_have() -> None:
    nothing = Objects(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.bool_))
    objects = (nothing,) * 11
    with_both = Split("a", ArrayImages(PIXELS), np.arange(11), "1", objects, ("one",))
    also = Split("b", ArrayImages(PIXELS[:2]), np.arange(2), "2", objects[:2], ("two",))
    bare = Split("c", ArrayImages(PIXELS[:1]), None, "3")
    data = Dataset("set", ("x",), CONTRACT, (with_both, also, bare))
    found = data.joined("a", "b")
    assert found.labels is not None
    assert found.labels.tolist() == [*range(11), 0, 1]
    assert found.objects == objects + objects[:2]
    assert (found.name, found.digest, found.left_out) == ("a+b", "1+2", ("one", "two"))
    assert np.array_equal(found.images.read(10, 13), PIXELS[[10, 0, 1]])
    bare_too = data.joined("a", "c")
    assert (bare_too.labels, bare_too.objects) == (None, None)
