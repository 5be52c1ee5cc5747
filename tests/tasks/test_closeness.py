import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.errors import DataError
from edgewise.tasks.closeness import Energies, digests


def outputs(seed: int, images: int, noise: float = 0.0) -> list[NDArray[np.float32]]:
    draw, other = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    found = [draw.normal(size=(images, 3, 2, 2)), draw.normal(size=(images, 5))]
    return [(one + noise * other.normal(size=one.shape)).astype(np.float32) for one in found]


@given(seed=st.integers(0, 999), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_parts_make_the_whole(seed: int, sizes: list[int]) -> None:
    images = sum(sizes)
    three = [outputs(seed, images, noise) for noise in (0.0, 0.01, 0.1)]
    ends = np.cumsum(sizes)[:-1]
    cut = [[np.split(one, ends) for one in executor] for executor in three]
    joined = Energies.joined(
        [Energies.of(*([one[at] for one in each] for each in cut)) for at in range(len(sizes))]
    )
    whole = Energies.of(three[0], three[1], three[2])
    np.testing.assert_array_equal(joined.signal, whole.signal)
    np.testing.assert_array_equal(joined.answers, whole.answers)
    assert joined.figures() == whole.figures()
    again = Energies.from_bytes(whole.to_bytes())
    assert again.figures() == whole.figures()


def test_ten_times_the_noise_is_twenty_decibels_less() -> None:
    ratios = []
    for noise in (0.001, 0.01):
        clean, noisy = outputs(0, 50), outputs(0, 50, noise)
        (first, second) = Energies.of(clean, clean, noisy).figures()
        assert first["simulation_db"] is None
        assert first["artifact_db"] == first["apart_db"]
        wanted = 10 * np.log10(np.mean(clean[1].astype(float) ** 2)
                               / np.mean((noisy[1].astype(float) - clean[1]) ** 2))  # fmt: skip
        assert second["artifact_db"] == pytest.approx(wanted)
        ratios.append(float(first["artifact_db"] or 0))
    assert ratios[0] - ratios[1] == pytest.approx(20, abs=0.01)


def test_a_dead_output_is_a_finite_figure() -> None:
    zeros, ones = [np.zeros((2, 3), np.float32)], [np.ones((2, 3), np.float32)]
    (figure,) = Energies.of(zeros, zeros, ones).figures()
    assert figure["artifact_db"] is not None
    assert np.isfinite(figure["artifact_db"])
    assert figure["artifact_db"] < -1000


def test_answers_are_told_apart_image_by_image() -> None:
    first, second = outputs(0, 4), outputs(0, 4)
    second[1][2, 0] += 1
    assert (digests(first) != digests(second)).any(axis=1).tolist() == [False, False, True, False]
    content = first[0][0].tobytes() + first[1][0].tobytes()
    assert digests(first)[0].tobytes() == hashlib.sha256(content).digest()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="unlike shapes"):
        Energies.of(outputs(0, 2), outputs(0, 2), outputs(0, 3))
    content = Energies.of(*[outputs(0, 2)] * 3).to_bytes()
    for wrong in (content[:-100], b"", b"PK\x03\x04"):
        with pytest.raises(DataError, match="no file of named arrays"):
            Energies.from_bytes(wrong)
