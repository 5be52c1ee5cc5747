import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.random import RandomImages, load_random
from edgewise.errors import UsageError


@given(start=st.integers(0, 19), length=st.integers(1, 20), seed=st.integers(0, 2**70))
def test_an_image_depends_on_nothing_but_seed_split_and_index(
    start: int, length: int, seed: int
) -> None:
    few, many = RandomImages((3, 4, 5), 20, "test", seed), RandomImages((3, 4, 5), 99, "test", seed)
    stop = min(20, start + length)
    assert np.array_equal(few.read(start, stop), many.read(0, 20)[start:stop])
    assert few.read(start, stop).shape == (stop - start, 4, 5, 3)


def test_seeds_and_splits_differ() -> None:
    made = [
        RandomImages((1, 4, 4), 1, split, seed).read(0, 1).tobytes()
        for split in ("calibration", "test")
        for seed in range(5)
    ]
    assert len(set(made)) == 10


def test_noise_is_uniform() -> None:
    counts = np.bincount(RandomImages((3, 32, 32), 100, "test").read(0, 100).ravel(), minlength=256)
    assert abs(counts / counts.mean() - 1).max() < 0.2  # 1200 each, 5.8 deviations


def test_the_data_set_says_what_it_is() -> None:
    dataset = load_random((3, 4, 5), seed=2)
    assert (dataset.name, dataset.classes) == ("random", ())
    assert {split.name: len(split) for split in dataset.splits} == {"calibration": 256, "test": 64}
    assert all(split.labels is None for split in dataset.splits)
    others = [
        load_random((3, 4, 5), 3),
        load_random((3, 5, 4), 2),
        load_random((3, 4, 5), 2, test=65),
    ]
    digests = {other.split("test").digest for other in (dataset, *others)}
    assert len(digests) == 4


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="seed"):
        load_random((3, 4, 4), seed=-1)
    with pytest.raises(UsageError, match="at least one image"):
        load_random((3, 4, 4), test=0)
