"""The ratio of two artifacts, with drift and noise."""

import numpy as np
import pytest
from benchmarks.comparison import ratio

from edgewise.stats import Samples


def rounds(factor: float, seed: int, drift: tuple[float, ...] = (1.0,) * 5) -> list[Samples]:
    random = np.random.default_rng(seed)
    return [factor * slow * random.gamma(50, 0.02, 400) for slow in drift]


def test_the_factor_between_two_artifacts_is_found() -> None:
    found = ratio(rounds(1.5, 1), rounds(1.0, 2))
    assert found.low < 1.5 < found.high
    assert found.value == pytest.approx(1.5, rel=0.05)
    assert found.high - found.low < 0.1


def test_drift_of_the_machine_cancels_as_both_ran_in_each_round() -> None:
    drift = (1.0, 3.0, 0.5, 2.0, 1.0)
    steady = ratio(rounds(1.2, 1), rounds(1.0, 2))
    drifted = ratio(rounds(1.2, 1, drift), rounds(1.0, 2, drift))
    assert drifted.value == pytest.approx(steady.value)


def test_swapping_the_two_inverts_the_ratio() -> None:
    one, other = rounds(1.2, 1), rounds(1.0, 2)
    assert ratio(one, other).value == pytest.approx(1 / ratio(other, one).value)


def test_rounds_that_disagree_widen_the_interval() -> None:
    steady = ratio(rounds(1.0, 1), rounds(1.0, 2))
    unsteady = ratio(rounds(1.0, 1, (1.0, 1.5, 0.7, 1.2, 0.9)), rounds(1.0, 2))
    assert unsteady.high - unsteady.low > 3 * (steady.high - steady.low)
