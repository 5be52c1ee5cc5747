from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from edgewise.studies.autoencoder.svm import Machine


def blobs(count: int, classes: int, seed: int) -> tuple[Any, Any]:
    """Classes that overlap, so that many images are told by a narrow vote."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes * 3 + 1
    centres = draw.normal(size=(classes, 12))
    images = centres[np.arange(count) % classes] + draw.normal(size=(count, 12))
    return images.astype(np.float32), labels


@settings(max_examples=20)
@given(count=st.integers(40, 150), classes=st.integers(2, 10), seed=st.integers(0, 99))
def test_it_tells_what_the_library_tells(count: int, classes: int, seed: int) -> None:
    images, labels = blobs(count, classes, seed)
    others, truth = blobs(1100, classes, seed)
    theirs = SVC().fit(images, labels)
    told = theirs.predict(others)
    machine = Machine(images, labels)
    assert (machine.tell(others) == told).mean() > 0.999  # float32 products decide no clear vote
    assert machine.accuracy(others, truth) == pytest.approx((told == truth).mean(), abs=0.001)


@settings(max_examples=20)
@given(count=st.integers(40, 150), classes=st.integers(2, 10), seed=st.integers(0, 99))
def test_the_order_of_what_it_is_fitted_on_decides_nothing(
    count: int, classes: int, seed: int
) -> None:
    images, labels = blobs(count, classes, seed)
    others, _ = blobs(1100, classes, seed + 1)
    order = np.random.default_rng(seed).permutation(count)
    told, again = (Machine(images[at], labels[at]).tell(others) for at in (np.arange(count), order))
    assert (told == again).mean() > 0.995  # libsvm stops within a tolerance, on whichever side


def test_classes_of_any_size() -> None:
    """The pairs' kernel values share one space, the larger ones and the smaller."""
    images, labels = blobs(400, 4, 0)
    kept = np.concatenate([np.flatnonzero(labels == one)[: 10 + 40 * one] for one in (10, 1, 7, 4)])
    images, labels = images[kept], labels[kept]
    told = Machine(images, labels).tell(images)
    assert (told == SVC().fit(images, labels).predict(images)).all()
