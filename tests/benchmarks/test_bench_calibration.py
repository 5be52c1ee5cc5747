"""Verdicts on the memory of calibration follow from the figures, on both sides of every limit."""

import pytest
from benchmarks.calibration import FEW, MANY, verdicts


@pytest.mark.parametrize(
    ("few", "many", "words"),
    [
        (2.8e9, 2.9e9, ["PASS", "PASS"]),
        (2.9e9, 3.0e9, ["FAIL", "PASS"]),
        (2.0e9, 2.2e9, ["PASS", "FAIL"]),
        (2.9e9, 2.0e9, ["PASS", "PASS"]),
    ],
)
def test_memory_is_bounded_and_steady(few: float, many: float, words: list[str]) -> None:
    assert [one.word for one in verdicts({FEW: few, MANY: many})] == words


@pytest.mark.parametrize("only", [{}, {FEW: 1.0}, {MANY: 1.0}])
def test_what_was_not_measured_is_not_judged(only: dict[int, float]) -> None:
    assert [one.word for one in verdicts(only)] == ["NOT JUDGED"] * 2
