import numpy as np
import pytest

from edgewise.errors import DataError
from edgewise.tasks.detection.detections import Detections, from_rows

ROWS = np.array(
    [[0, 2, 0.9, 1, 2, 3, 4], [0, 0, 0.5, 0, 0, 1, 1], [2, 1, 0.7, -1, 0, 5, 6]], np.float32
)


def test_rows_are_parted_by_image() -> None:
    found = from_rows(ROWS, 4)
    assert [len(one) for one in found] == [2, 0, 1, 0]
    assert found[0].classes.tolist() == [2, 0]
    assert found[2].boxes.tolist() == [[-1, 0, 5, 6]]
    assert [len(one) for one in from_rows(ROWS[:0], 2)] == [0, 0]


@pytest.mark.parametrize(
    ("place", "value"),
    [((0, 0), 1), ((2, 0), 4), ((0, 0), -1), ((0, 1), 0.5), ((0, 1), -1), ((0, 1), np.nan),
     ((0, 0), np.inf), ((1, 2), np.nan), ((0, 2), 0.1), ((0, 3), np.inf), ((0, 5), 0)],
    ids=str,
)  # fmt: skip
def test_rows_that_are_no_detections_are_refused(place: tuple[int, int], value: float) -> None:
    rows = ROWS.copy()
    rows[place] = value
    with pytest.raises(DataError):
        from_rows(rows, 4)


def test_rows_of_another_width_and_parts_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="rows of 7"):
        from_rows(ROWS[:, :6], 4)
    with pytest.raises(DataError, match="not the same detections"):
        Detections(np.zeros(2, np.int64), ROWS[:1, 2], ROWS[:1, 3:])


def test_those_above_a_score() -> None:
    assert from_rows(ROWS, 3)[0].above(0.5).classes.tolist() == [2]
