"""Objects of an image go together or are refused."""

import numpy as np
import pytest

from edgewise.data.dataset import ArrayImages, Split
from edgewise.data.objects import Objects
from edgewise.errors import DataError


def some(count: int) -> Objects:
    boxes = np.tile(np.array([1, 2, 3, 5], np.float32), (count, 1))
    return Objects(np.arange(count), boxes, np.zeros(count, bool))


def test_an_image_may_have_none() -> None:
    assert len(some(0)) == 0
    assert len(some(3)) == 3


@pytest.mark.parametrize(
    "box", [(3, 2, 3, 5), (1, 5, 3, 2), (1, 2, np.inf, 5), (np.nan, 2, 3, 5)], ids=str
)
def test_a_box_without_an_inside_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="right edge after its left"):
        Objects(np.zeros(1, np.int64), np.array([box], np.float32), np.zeros(1, bool))


def test_parts_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="not the same objects"):
        Objects(np.zeros(2, np.int64), some(1).boxes, np.zeros(2, bool))


def test_the_head_of_a_split_keeps_the_objects_of_its_images() -> None:
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    split = Split("test", ArrayImages(pixels), None, "x", tuple(map(some, (0, 1, 2))))
    found = split.head(2).objects
    assert found is not None
    assert [len(one) for one in found] == [0, 1]
