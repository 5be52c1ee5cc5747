import numpy as np
import pytest

from edgewise.errors import DataError
from edgewise.tasks.detection.anchors import find_anchors, mean_overlap

CENTRES = np.array([(10, 12), (30, 20), (25, 60), (90, 80)])


def clusters() -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.repeat(CENTRES, 50, axis=0) * np.exp(draw.normal(0, 0.05, (200, 2)))


def test_clusters_are_found_and_the_coarsest_map_has_the_largest() -> None:
    found = find_anchors(clusters(), maps=2, each=2)
    expected = CENTRES.reshape(2, 2, 2)[::-1]
    np.testing.assert_allclose(np.array(found), expected, rtol=0.05)


def test_a_seed_is_used_and_decides() -> None:
    boxes = np.exp(np.random.default_rng(1).uniform(1, 5, (100, 2)))
    first, again, other = (find_anchors(boxes, 3, 3, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_anchors_are_better_than_quantiles_of_the_area() -> None:
    boxes = np.exp(np.random.default_rng(2).uniform(1, 5, (300, 2)))
    found = np.array(find_anchors(boxes, 3, 3)).reshape(-1, 2)
    areas = np.quantile(boxes.prod(axis=1), np.linspace(0.05, 0.95, 9))
    assert mean_overlap(boxes, found) > mean_overlap(boxes, np.sqrt(areas)[:, None] * (1, 1))


def test_as_many_anchors_as_boxes_are_the_boxes() -> None:
    boxes = np.array([(5, 5), (9, 30), (60, 40)])
    found = find_anchors(np.repeat(boxes, 4, axis=0), 3, 1)
    assert found == (((60, 40),), ((9, 30),), ((5, 5),))


@pytest.mark.parametrize(
    "boxes",
    [[], [(1, 2)] * 9, [(1, 2, 3)] * 9, [(1, 0), (2, 2)], [(1, np.nan), (2, 2)]],
    ids=str,
)
def test_boxes_that_give_no_anchors_are_refused(boxes: list[tuple[float, ...]]) -> None:
    with pytest.raises(DataError):
        find_anchors(np.array(boxes, np.float64), 2, 1)
