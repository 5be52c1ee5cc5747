import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.data.preprocess import Preprocessing, finished, natural, whole
from edgewise.errors import DataError, UsageError

SHAPES = st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9))
CONTRACTS = SHAPES.flatmap(
    lambda shape: st.builds(
        Preprocessing,
        channels=st.just(shape[0]),
        height=st.just(shape[1]),
        width=st.just(shape[2]),
        mean=st.tuples(*[st.floats(0, 1)] * shape[0]),
        std=st.tuples(*[st.floats(0.05, 2)] * shape[0]),
    )
)


def definition(images: NDArray[np.uint8], contract: Preprocessing) -> NDArray[np.float64]:
    """The contract in float64, one pixel at a time, with black around smaller images."""
    count, height, width, channels = images.shape
    top, left = (contract.height - height) // 2, (contract.width - width) // 2
    out = np.empty((count, *contract.shape))
    for n, c, y, x in np.ndindex(*out.shape):
        inside = 0 <= y - top < height and 0 <= x - left < width
        pixel = int(images[n, y - top, x - left, min(c, channels - 1)]) if inside else 0
        out[n, c, y, x] = (pixel / 255 - contract.mean[c]) / contract.std[c]
    return out


@settings(deadline=None)
@given(contract=CONTRACTS, data=st.data())
def test_it_is_its_definition(contract: Preprocessing, data: st.DataObject) -> None:
    height = data.draw(st.integers(1, contract.height))
    width = data.draw(st.integers(1, contract.width))
    channels = data.draw(st.sampled_from([1, contract.channels]))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    images = draw.integers(0, 256, (2, height, width, channels), np.uint8)
    got = contract.apply(images)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, definition(images, contract), atol=1e-5)


@settings(deadline=None)
@given(contract=CONTRACTS)
def test_json_carries_all_of_it(contract: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(contract.to_json()))) == contract


@settings(deadline=None)
@given(shape=SHAPES)
def test_finished_images_pass_unchanged(shape: tuple[int, int, int]) -> None:
    contract = Preprocessing.from_json(json.loads(json.dumps(finished(shape).to_json())))
    images = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    assert np.array_equal(contract.apply(images), images)
    with pytest.raises(DataError, match="float32"):
        contract.apply(np.zeros((1, *shape), np.uint8))
    with pytest.raises(DataError, match="shape"):
        contract.apply(np.zeros((1, shape[0], shape[1] + 1, shape[2]), np.float32))


def test_the_stored_form_of_pixels_is_the_published_one() -> None:
    assert Preprocessing(2, 3, 1, (0.5,), (0.25,)).to_json() == {
        "schema": "preprocessing/1",
        "layout": "NCHW",
        "type": "float32",
        "height": 2,
        "width": 3,
        "channels": 1,
        "mean": (0.5,),
        "std": (0.25,),
    }


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((1, 4, 4, 3), np.float32), "uint8"),
        (np.zeros((4, 4, 3), np.uint8), "uint8"),
        (np.zeros((1, 4, 4, 2), np.uint8), "3 channels and the images have 2"),
        (np.zeros((1, 5, 4, 3), np.uint8), "do not fit"),
    ],
    ids=["floats", "rank", "channels", "larger"],
)
def test_other_images_are_refused(images: NDArray[np.uint8], said: str) -> None:
    with pytest.raises(DataError, match=said):
        natural((3, 4, 4)).apply(images)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"height": 2},
        {"height": "x", "width": 1, "channels": 1, "mean": [0], "std": [1]},
        {"height": 1, "width": 1, "channels": 1, "mean": [0], "std": [0]},
        {"height": 1, "width": 1, "channels": 1, "mean": [float("nan")], "std": [1]},
        {"height": 1, "width": 1, "channels": 1, "mean": [0], "std": [float("inf")]},
        {"height": 1, "width": 1, "channels": 2, "mean": [0], "std": [1]},
        {"height": 0, "width": 1, "channels": 1, "mean": [0], "std": [1]},
        {"height": float("inf"), "width": 1, "channels": 1, "mean": [0], "std": [1]},
        {"height": 1, "width": 1, "channels": 1, "mean": [0], "std": [1], "stored": "int4"},
        {"height": 1, "width": 1, "channels": 1, "mean": [1], "std": [1], "stored": "float32"},
        {"height": 1, "width": 1, "channels": 1, "mean": [0], "std": [2], "stored": "float32"},
        {"height": 1, "width": 1, "channels": 1, "mean": [0], "std": [1], "fit": "stretch"},
    ],
    ids=str,
)
def test_no_contract_is_no_contract(value: dict[str, object]) -> None:
    with pytest.raises(DataError, match="contract|stored|preprocessed|fitted"):
        Preprocessing.from_json(value)


def test_whole_images_are_said_to_be_letterboxed() -> None:
    contract = whole((3, 8, 16))
    assert contract.to_json()["fit"] == "letterbox"
    assert Preprocessing.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    assert contract.resized((3, 4, 4)) == whole((3, 4, 4))
    assert contract.resized((1, 4, 4)).fit == "letterbox"
    assert natural((3, 8, 16)).fit == "crop"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 16, 3), np.uint8)
    expected = pixels.transpose(0, 3, 1, 2) / 255
    assert np.allclose(contract.apply(pixels), expected, rtol=1e-6, atol=0)


def test_another_shape_keeps_the_normalisation() -> None:
    grey = Preprocessing(32, 32, 3, (0.25,) * 3, (0.5,) * 3)
    assert grey.resized((1, 28, 28)) == Preprocessing(28, 28, 1, (0.25,), (0.5,))
    colour = natural((3, 32, 32))
    assert colour.resized((3, 64, 48)) == natural((3, 64, 48))
    with pytest.raises(UsageError, match="3,32,32"):
        colour.resized((1, 32, 32))
    with pytest.raises(UsageError, match="1,8,8"):
        finished((1, 8, 8)).resized((1, 8, 9))
