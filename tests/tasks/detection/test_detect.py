"""Boxes from maps: against a loop over every cell, and suppression over every pair."""

import math

import numpy as np
import pytest
from detection_cases import decoder, random_maps
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.errors import DataError
from edgewise.tasks.detection.decode import candidates
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.suppression import Suppression, detect, suppress


def every_cell(maps: list[NDArray[np.float32]], rule: Decoder, least: float) -> list[list[float]]:
    """Rows by the definition, in float64 and cell by cell."""

    def logistic(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    rows = []
    for one, anchors in zip(maps, rule.anchors, strict=True):
        stride = rule.height // one.shape[2]
        grid = one.reshape(len(one), len(anchors), 5 + rule.classes, *one.shape[2:])
        for image, anchor, row, column in np.ndindex(*grid.shape[:2], *grid.shape[3:]):
            x, y, w, h, sure, *labels = map(float, grid[image, anchor, :, row, column])
            cx = (column + rule.spread * logistic(x) - (rule.spread - 1) / 2) * stride
            cy = (row + rule.spread * logistic(y) - (rule.spread - 1) / 2) * stride
            width, height = anchors[anchor][0] * math.exp(w), anchors[anchor][1] * math.exp(h)
            for label, value in enumerate(labels):
                score = logistic(sure) * logistic(value)
                if score > least:
                    rows.append([image, label, score, cx - width / 2, cy - height / 2,
                                 cx + width / 2, cy + height / 2])  # fmt: skip
    return sorted(rows, key=lambda one: (one[0], -one[2]))


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_boxes_are_those_of_the_definition(spread: float) -> None:
    rule, maps = decoder(spread=spread), random_maps(3)
    found = candidates(maps, rule, 0.2)
    expected = np.array(every_cell(maps, rule, 0.2))
    assert 20 < len(found) < 500
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def greedy(
    classes: NDArray[np.int64], boxes: NDArray[np.float32], overlap: float, most: int
) -> list[int]:
    """Every box against every one that stayed."""
    kept: list[int] = []
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in kept:
            a, b, c, d = boxes[other]
            common = max(min(right, c) - max(left, a), np.float32(0)) * max(
                min(bottom, d) - max(top, b), np.float32(0)
            )
            union = (c - a) * (d - b) + (right - left) * (bottom - top) - common
            if classes[place] == classes[other] and common > np.float32(overlap) * union:
                break
        else:
            kept.append(place)
    return kept[:most]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 300),
    clusters=st.integers(1, 30),
    labels=st.integers(1, 4),
    overlap=st.sampled_from((0.0, 0.3, 0.45, 0.5, 1.0)),
    most=st.sampled_from((1, 7, 1000)),
)
def test_suppression_is_that_of_every_pair(
    seed: int, count: int, clusters: int, labels: int, overlap: float, most: int
) -> None:
    draw = np.random.default_rng(seed)
    centres = draw.integers(0, 60, (clusters, 2))[draw.integers(0, clusters, count)]
    halves = draw.integers(0, 8, (count, 2))  # many ties, and boxes without area
    moved = centres + draw.integers(-3, 4, (count, 2))
    boxes = np.concatenate((moved - halves, moved + halves), axis=1).astype(np.float32)
    classes = draw.integers(0, labels, count)
    assert suppress(classes, boxes, overlap, most).tolist() == greedy(classes, boxes, overlap, most)


def test_detections_are_what_suppression_leaves_of_the_candidates_of_each_image() -> None:
    rule, maps = decoder(), random_maps(4, images=3)
    found = detect(maps, rule, Suppression(0.1, 0.3, 20))
    rows = candidates(maps, rule, 0.1)
    for image, one in enumerate(found):
        own = rows[rows[:, 0] == image]
        kept = greedy(own[:, 1].astype(np.int64), own[:, 3:], 0.3, 20)
        assert len(one) == len(kept) == 20
        assert np.array_equal(one.boxes, own[kept, 3:])
        assert np.array_equal(one.scores, own[kept, 2])


def test_equal_scores_keep_the_order_of_their_places() -> None:
    maps = [np.zeros_like(one) for one in random_maps(0, images=1)]
    rows = candidates(maps, decoder(), 0.2)
    assert len(np.unique(rows[:, 2])) == 1
    assert rows[:4, 1].tolist() == [0, 1, 2, 0]
    assert rows[0, 5] - rows[0, 3] == 60  # the coarsest map's first anchor


@pytest.mark.parametrize("size", [1e4, -1e4, np.inf])
def test_extreme_logits_give_finite_boxes(size: float) -> None:
    maps = [np.full_like(one, size) for one in random_maps(0)]
    for one in maps:
        one.reshape(2, 2, 8, *one.shape[2:])[:, :, 4:] = 1e4
    found = detect(maps, decoder(), Suppression(most=3))
    assert [len(one) for one in found] == [3, 3]
    for one in maps:
        one[:] = -1e4
    assert [len(one) for one in detect(maps, decoder(), Suppression())] == [0, 0]


def test_no_images_have_no_detections() -> None:
    assert detect(random_maps(0, images=0), decoder(), Suppression()) == ()


def test_broken_maps_are_refused() -> None:
    maps = random_maps(0)
    with pytest.raises(DataError, match="one batch"):
        detect([maps[0], maps[1][:1]], decoder(), Suppression())
    with pytest.raises(DataError, match="channels|shape"):
        detect(maps, decoder(classes=4), Suppression())
    maps[1][0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        detect(maps, decoder(), Suppression())


@pytest.mark.parametrize(
    "value", [3, {}, {"score": 2, "overlap": 0.5, "most": 1}, {"score": 0.1, "overlap": "x"},
              {"score": 0.1, "overlap": 0.5, "most": 0}], ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(value: object) -> None:
    with pytest.raises(DataError):
        Suppression.from_json(value)
    assert Suppression.from_json(Suppression(0.1).to_json()) == Suppression(0.1)
