"""The verdict on the memory of calibration follows from the figures, on both sides of the limit."""

import pytest
from benchmarks.calibration import FEW, MANY, bounded


@pytest.mark.parametrize(
    ("peaks", "word"),
    [
        ({FEW: 1e9, MANY: 2.9e9}, "PASS"),
        ({FEW: 1e9, MANY: 3.0e9}, "FAIL"),
        ({MANY: 1e9}, "PASS"),
        ({FEW: 1e9}, "NOT JUDGED"),
        ({}, "NOT JUDGED"),
    ],
)
def test_the_peak_with_many_images_is_judged(peaks: dict[int, float], word: str) -> None:
    assert bounded(peaks).word == word
