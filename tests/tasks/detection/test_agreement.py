import numpy as np
import pytest

from edgewise.errors import DataError
from edgewise.tasks.detection.agreement import Agreement, agreement
from edgewise.tasks.detection.detections import Detections

BOXES = np.array([(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)], np.float32)


def found(scores: list[float], labels: list[int], shift: float = 0) -> Detections:
    places = BOXES + np.array([shift, 0, shift, 0], np.float32)
    return Detections(np.array(labels), np.array(scores, np.float32), places[: len(labels)])


NONE = found([], [])


def test_repeated_is_what_has_the_class_the_place_and_enough_confidence() -> None:
    reference = found([0.9, 0.8, 0.7, 0.5], [0, 1, 2, 0])
    assert agreement([reference], [reference]) == Agreement(3, 3)
    assert agreement([reference], [found([0.9, 0.3, 0.25], [0, 1, 2])]) == Agreement(2, 3)
    assert agreement([reference], [found([0.9, 0.3], [0, 2])]) == Agreement(1, 3)
    assert agreement([reference], [found([0.9] * 3, [0, 1, 2], 3)]) == Agreement(3, 3)
    assert agreement([reference], [found([0.9] * 3, [0, 1, 2], 4)]) == Agreement(0, 3)


def test_images_are_held_apart_and_may_be_empty() -> None:
    one = found([0.9], [0])
    both = agreement([one, NONE, one], [one, one, NONE])
    assert (both, both.share) == (Agreement(1, 2), 0.5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="1 images and in 2"):
        agreement([NONE], [NONE] * 2)
    with pytest.raises(DataError, match="nothing to repeat"):
        _ = agreement([NONE], [NONE]).share
