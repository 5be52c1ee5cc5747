import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgewise.errors import DataError
from edgewise.tasks.classification import Classification, Estimate, accuracy, paired_difference

Bools = NDArray[np.bool_]
ANSWERS = hnp.arrays(np.bool_, st.integers(1, 200))


def resampled(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """The 95 % interval of a mean by drawing images with replacement, one by one."""
    draw = np.random.default_rng(seed)
    chosen = draw.integers(0, len(values), (10_000, len(values)))
    low, high = np.quantile(values[chosen].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


@pytest.mark.parametrize(("count", "share"), [(50, 0.5), (200, 0.93), (200, 0.1), (30, 0.97)])
def test_the_interval_is_that_of_resampling_images(count: int, share: float) -> None:
    correct = np.arange(count) < round(count * share)
    estimate = accuracy(correct)
    low, high = resampled(correct.astype(np.float64), 1)
    assert estimate.value == correct.mean()
    assert estimate.low == pytest.approx(low, abs=1.01 / count)
    assert estimate.high == pytest.approx(high, abs=1.01 / count)


@pytest.mark.parametrize(("count", "gained", "lost"), [(100, 5, 9), (200, 0, 20), (60, 20, 20)])
def test_the_paired_interval_is_that_of_resampling_pairs(
    count: int, gained: int, lost: int
) -> None:
    ours = np.zeros(count, bool)
    theirs = np.zeros(count, bool)
    ours[:gained] = theirs[gained : gained + lost] = True
    ours[gained + lost :: 2] = theirs[gained + lost :: 2] = True
    estimate = paired_difference(ours, theirs)
    difference = ours.astype(np.float64) - theirs
    low, high = resampled(difference, 2)
    assert estimate.value == pytest.approx(difference.mean())
    assert estimate.low == pytest.approx(low, abs=1.01 / count)
    assert estimate.high == pytest.approx(high, abs=1.01 / count)


@given(correct=ANSWERS)
def test_an_accuracy_lies_in_its_interval_and_all_within_zero_and_one(correct: Bools) -> None:
    estimate = accuracy(correct)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.value == correct.mean()


@given(data=st.data(), count=st.integers(1, 100))
def test_a_difference_is_the_difference_of_accuracies_and_turns_its_sign(
    data: st.DataObject, count: int
) -> None:
    ours = data.draw(hnp.arrays(np.bool_, count))
    theirs = data.draw(hnp.arrays(np.bool_, count))
    estimate = paired_difference(ours, theirs)
    assert estimate.value == pytest.approx(ours.mean() - theirs.mean())
    assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert paired_difference(theirs, ours).value == -estimate.value


@settings(max_examples=20)
@given(correct=ANSWERS, seed=st.integers(0, 5))
def test_order_of_images_and_runs_do_not_matter_and_the_seed_is_used(
    correct: Bools, seed: int
) -> None:
    assert accuracy(correct, seed) == accuracy(correct[::-1], seed) == accuracy(correct, seed)


def test_pairing_is_narrower_than_two_accuracies_that_agree() -> None:
    theirs = np.arange(500) % 10 > 0
    ours = theirs.copy()
    ours[:3] = ~ours[:3]
    paired, alone = paired_difference(ours, theirs), accuracy(ours)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong(right: bool) -> None:
    correct = np.full(20, right)
    assert accuracy(correct).value == float(right)
    assert paired_difference(correct, correct).value == 0
    assert paired_difference(correct, ~correct) == Estimate(*[1.0 if right else -1.0] * 3)


def test_no_images_and_unequal_numbers_are_refused() -> None:
    none, one, two = (np.ones(count, bool) for count in (0, 1, 2))
    with pytest.raises(DataError, match="no images"):
        accuracy(none)
    with pytest.raises(DataError, match="no images"):
        paired_difference(none, none)
    with pytest.raises(DataError, match="2 answers cannot be paired with 1"):
        paired_difference(two, one)


def test_the_loss_is_cross_entropy_with_smoothed_targets() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=torch.bfloat16)
    labels = torch.tensor([0, 2])
    for smoothing in (0.0, 0.1):
        logs = torch.log_softmax(logits.double(), 1)
        target = torch.full((2, 3), smoothing / 3, dtype=torch.float64)
        target[torch.arange(2), labels] += 1 - smoothing
        expected = float(-(target * logs).sum(1).mean())
        assert float(Classification(smoothing).loss(logits, labels)) == pytest.approx(expected)


def test_right_is_where_the_largest_logit_is_the_label() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 0.0]])
    right = Classification().correct(logits, torch.tensor([1, 1, 0]))
    assert right.tolist() == [True, False, True]
