import importlib.util
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from edgewise.studies.autoencoder import svm
from edgewise.studies.autoencoder.svm import Machine

BOTH = ("sklearn.svm", "sklearnex.svm")


def blobs(count: int, classes: int, seed: int) -> tuple[Any, Any]:
    """Classes that overlap, so that many images are told by a narrow vote."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes * 3 + 1
    centres = draw.normal(size=(classes, 12))
    images = centres[np.arange(count) % classes] + draw.normal(size=(count, 12))
    return images.astype(np.float32), labels


@settings(max_examples=20)
@given(count=st.integers(40, 150), classes=st.integers(3, 10), seed=st.integers(0, 99))
def test_it_tells_what_the_library_tells(count: int, classes: int, seed: int) -> None:
    images, labels = blobs(count, classes, seed)
    others, truth = blobs(1100, classes, seed)
    theirs = SVC().fit(images, labels)
    told = theirs.predict(others)
    machine = Machine(images, labels)
    assert (machine.tell(others) == told).mean() > 0.999  # float32 products decide no clear vote
    assert machine.accuracy(others, truth) == pytest.approx((told == truth).mean(), abs=0.001)


@pytest.mark.parametrize("name", BOTH)
def test_whoever_fits_it_is_the_same_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(name.split(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    images, labels = blobs(900, 10, 0)
    monkeypatch.setattr(svm, "solver", lambda: name)
    told = Machine(images, labels).tell(images)
    assert (told == SVC().fit(images, labels).predict(images)).mean() > 0.995
