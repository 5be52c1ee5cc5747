from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgewise.data.preprocess import Preprocessing, finished, whole
from edgewise.worker import images
from edgewise.worker.job import WorkerError

CONTRACT = Preprocessing(8, 8, 3, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Preprocessing, Any]:
    channels = draw(st.sampled_from((1, 3)))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    numbers = st.lists(st.floats(0.001, 2), min_size=channels, max_size=channels).map(tuple)
    contract = Preprocessing(height, width, channels, draw(numbers), draw(numbers))
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, height)),
        draw(st.integers(1, width)),
        draw(st.sampled_from(sorted({1, channels}))),
    )
    return contract, draw(hnp.arrays(np.uint8, shape))


@given(case=cases())
def test_the_device_prepares_images_bit_by_bit_as_the_host_does(
    case: tuple[Preprocessing, Any],
) -> None:
    contract, pixels = case
    host, device = contract.apply(pixels), images.prepare(pixels, contract.to_json())
    assert device.dtype == np.float32
    assert device.shape == host.shape
    assert np.array_equal(host.view(np.uint32), device.view(np.uint32))


@given(pixels=hnp.arrays(np.float32, (2, 3, 4, 5)))
def test_finished_images_pass_unchanged(pixels: Any) -> None:
    contract = finished((3, 4, 5))
    device = images.prepare(pixels, contract.to_json())
    assert np.array_equal(contract.apply(pixels).view(np.uint32), device.view(np.uint32))
    assert np.array_equal(pixels.view(np.uint32), device.view(np.uint32))


def test_how_images_were_fitted_changes_nothing_on_the_device() -> None:
    contract = whole((3, 4, 5))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    device = images.prepare(pixels, contract.to_json())
    assert np.array_equal(contract.apply(pixels).view(np.uint32), device.view(np.uint32))


@pytest.mark.parametrize(
    ("pixels", "contract"),
    [
        (np.zeros((1, 9, 8, 3), np.uint8), CONTRACT.to_json()),
        (np.zeros((1, 8, 8, 2), np.uint8), CONTRACT.to_json()),
        (np.zeros((1, 8, 8, 3), np.float32), CONTRACT.to_json()),
        (np.zeros((1, 8, 8, 3), np.float32), finished((3, 8, 8)).to_json()),
        (np.zeros((1, 3, 8, 8), np.uint8), finished((3, 8, 8)).to_json()),
        (np.zeros((1, 8, 8, 3), np.uint8), None),
        (np.zeros((1, 8, 8, 3), np.uint8), {**CONTRACT.to_json(), "schema": "preprocessing/2"}),
        (np.zeros((1, 8, 8, 3), np.uint8), {"schema": "preprocessing/1"}),
        (np.zeros((1, 8, 8, 3), np.uint8), {**CONTRACT.to_json(), "std": "wide"}),
    ],
)
def test_what_the_contract_does_not_cover_is_refused(pixels: Any, contract: Any) -> None:
    with pytest.raises(WorkerError):
        images.prepare(pixels, contract)


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    absent, text, empty, objects = (
        tmp_path / name for name in ("absent", "text", "empty.npz", "objects.npz")
    )
    text.write_text("not an archive")
    np.savez(empty, images=np.zeros((0, 8, 8, 3), np.uint8))
    np.savez(objects, images=np.array([{"hostile": 1}], dtype=object))
    for path in (absent, text, empty, objects):
        with pytest.raises(WorkerError, match="holds"):
            images.load(str(path))
