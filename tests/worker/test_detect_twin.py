from typing import Any

import numpy as np
import pytest
from detection_cases import decoder, random_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.tasks.detection import suppression
from edgewise.tasks.detection.detections import from_rows
from edgewise.tasks.detection.suppression import Suppression
from edgewise.worker.detect import detect
from edgewise.worker.job import WorkerError

STORED, SETTINGS = decoder().to_json(), Suppression().to_json()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    spread=st.floats(1, 3),
    score=st.floats(0.001, 0.7),
    overlap=st.floats(0, 1),
    most=st.sampled_from((1, 5, 1000)),
    size=st.sampled_from((1, 100, 1e4)),
)
def test_the_device_detects_bit_by_bit_as_the_host_does(
    seed: int, spread: float, score: float, overlap: float, most: int, size: float
) -> None:
    rule = decoder(spread=spread)
    maps = [one * np.float32(size) for one in random_maps(seed)]
    settings = Suppression(score, overlap, most)
    host = suppression.detect(maps, rule, settings)
    rows = detect(maps, rule.to_json(), settings.to_json())
    assert rows.dtype == np.float32
    for ours, theirs in zip(host, from_rows(rows, 2), strict=True):
        assert np.array_equal(ours.classes, theirs.classes)
        assert np.array_equal(ours.scores.view(np.uint32), theirs.scores.view(np.uint32))
        assert np.array_equal(ours.boxes.view(np.uint32), theirs.boxes.view(np.uint32))


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ({**STORED, "schema": "yolo/2"}, SETTINGS),
        ({**STORED, "classes": 4}, SETTINGS),
        ({**STORED, "height": 65}, SETTINGS),
        ({**STORED, "anchors": STORED["anchors"][:1]}, SETTINGS),
        ({**STORED, "anchors": "none"}, SETTINGS),
        ({"schema": "yolo/1"}, SETTINGS),
        (STORED, {}),
        (STORED, {**SETTINGS, "most": "many"}),
        (STORED, {**SETTINGS, "most": 0}),
        (STORED, {**SETTINGS, "score": None}),
        (STORED, {**SETTINGS, "overlap": float("nan")}),
        ({**STORED, "spread": float("nan")}, SETTINGS),
        ({**STORED, "anchors": [[[1, float("inf")]] * 2] * 2}, SETTINGS),
        (3, SETTINGS),
        (STORED, None),
    ],
)
def test_what_does_not_fit_is_refused(stored: Any, given: Any) -> None:
    with pytest.raises(WorkerError):
        detect(random_maps(0), stored, given)


def test_maps_that_are_none_are_refused() -> None:
    maps = random_maps(0)
    for broken in ([], maps[:1], [maps[0], maps[1][:1]], [maps[0], maps[1][0]],
                   [maps[0][:, :, :0], maps[1]]):  # fmt: skip
        with pytest.raises(WorkerError):
            detect(broken, STORED, SETTINGS)
    maps[0][1, 2, 1, 1] = np.nan
    with pytest.raises(WorkerError, match="NaN"):
        detect(maps, STORED, SETTINGS)
