import json
from typing import Any

import pytest

from edgewise.errors import DataError
from edgewise.tasks.detection.decoder import Decoder

ANCHORS = (((60.0, 40.0), (30.0, 50.0)), ((10.5, 12.0),))
DECODER = Decoder(ANCHORS, 64, 96, 3, 2.0)
STORED = DECODER.to_json()


def test_a_decoder_comes_back_from_json() -> None:
    assert Decoder.from_json(json.loads(json.dumps(STORED))) == DECODER
    assert STORED["schema"] == "yolo/1"


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        [],
        {},
        {**STORED, "schema": "yolo/2"},
        {name: field for name, field in STORED.items() if name != "spread"},
        {**STORED, "anchors": 4},
        {**STORED, "anchors": []},
        {**STORED, "anchors": [[[1, 2, 3]]]},
        {**STORED, "anchors": [[[1, 2]], []]},
        {**STORED, "anchors": [[[0, 2]]]},
        {**STORED, "anchors": [[[float("nan"), 2]]]},
        {**STORED, "height": "tall"},
        {**STORED, "height": float("inf")},
        {**STORED, "width": 0},
        {**STORED, "classes": 0},
        {**STORED, "spread": 0.5},
        {**STORED, "spread": None},
    ],
    ids=str,
)
def test_what_is_no_decoder_is_refused(value: Any) -> None:
    with pytest.raises(DataError):
        Decoder.from_json(value)


def test_strides_are_those_of_the_maps() -> None:
    assert DECODER.strides([(5, 16, 2, 3), (5, 8, 8, 12)]) == (32, 8)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 16, 2, 3)],
        [(1, 16, 2, 3), (1, 9, 8, 12)],
        [(1, 16, 2, 3), (1, 8, 8, 8)],
        [(1, 16, 3, 3), (1, 8, 8, 12)],
        [(1, 16, 0, 3), (1, 8, 8, 12)],
        [(16, 2, 3), (8, 8, 12)],
    ],
    ids=str,
)
def test_maps_of_another_decoder_are_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(DataError, match="map"):
        DECODER.strides(shapes)
