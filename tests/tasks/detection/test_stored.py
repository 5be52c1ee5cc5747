from typing import Any

import numpy as np
import pytest
from detection_cases import judged
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.data.npz import to_npz
from edgewise.errors import DataError
from edgewise.tasks.detection.stored import Seen, differing, object_rows, pack, to_rows, unpack


@given(seed=st.integers(0, 10_000), images=st.integers(1, 5), known=st.booleans())
def test_what_is_stored_comes_back(seed: int, images: int, known: bool) -> None:
    three = [judged(seed + more, images, 4) for more in range(3)]
    seen = Seen(*(tuple(found) for found, _ in three))
    objects = three[0][1] if known else None
    again, theirs = unpack(pack(seen, objects))
    for name in ("network", "simulation", "artifact"):
        assert differing(getattr(seen, name), getattr(again, name)) == 0
    if objects is None:
        assert theirs is None
        return
    assert theirs is not None
    assert len(theirs) == images
    np.testing.assert_array_equal(object_rows(objects), object_rows(theirs))


def test_images_that_differ_are_counted() -> None:
    found, _ = judged(3, 6, 4)
    other = [one.above(0.3) for one in found]
    wanted = sum(len(one) != len(less) for one, less in zip(found, other, strict=True))
    assert wanted > 0
    assert differing(found, other) == wanted
    with pytest.raises(DataError, match="in 6 images and in 5"):
        differing(found, found[:5])


@pytest.mark.parametrize("harm", ["cut", "other", "images", "order", "shape"])
def test_what_is_no_store_of_detections_is_refused(harm: str) -> None:
    found, objects = judged(1, 4, 4)
    content = pack(Seen(tuple(found), tuple(found), tuple(found)), objects)
    if harm == "cut":
        content = content[:-200]
    else:
        rows = to_rows(found)
        there = object_rows(objects)
        arrays: dict[str, NDArray[Any]] = {
            "images": np.array(4), "network": rows, "simulation": rows, "artifact": rows,
            "objects": there,
        }  # fmt: skip
        changed: dict[str, dict[str, NDArray[Any]]] = {
            "other": {"network": np.array(["x"])},
            "images": {"images": np.array(1)},
            "order": {"objects": there[::-1]},
            "shape": {"objects": there[:, :3]},
        }
        content = to_npz({**arrays, **changed[harm]})
    with pytest.raises(DataError):
        unpack(content)
