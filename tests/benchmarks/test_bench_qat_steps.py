"""Figures and verdicts of training steps follow from what the contenders took."""

from pathlib import Path

import pytest
from benchmarks.qat_processes import Outcome, Trainee
from benchmarks.qat_steps import (
    BFLOAT16,
    FLOAT,
    FLOAT32,
    OURS,
    TRAINEES,
    compared,
    verdicts,
)

from benchmarks import qat_steps
from edgewise.errors import EdgewiseError

PLAIN, LAST = FLOAT32


def took(name: str, **seconds: float) -> Outcome:
    """Five rounds of two steps in each form, the second a little slower."""
    forms = {"plain": PLAIN, "last": LAST, "half": BFLOAT16}
    rounds = {forms[key]: [[one, 1.01 * one]] * 5 for key, one in seconds.items()}
    return Outcome(Trainee(name, "none", tuple(rounds)), rounds=rounds)


def field(*peers: Outcome, ours: float = 1.0) -> list[Outcome]:
    return [took(FLOAT, plain=1.3, last=0.9, half=0.5), took(OURS, half=ours), *peers]


def test_ratios_are_to_the_better_float32_format_and_to_ours() -> None:
    figures = compared(field(took("peer", last=1.8, half=1.2)))
    found = {(one.name, one.form): one for one in figures}
    assert len(found) == len(figures) == 6
    assert found[FLOAT, LAST].over_float.value == pytest.approx(1.0)
    assert found[FLOAT, PLAIN].over_float.value == pytest.approx(1.3 / 0.9)
    assert found[OURS, BFLOAT16].over_float.value == pytest.approx(1 / 0.9)
    assert found["peer", LAST].over_float.value == pytest.approx(2.0)
    assert found["peer", BFLOAT16].over_ours.value == pytest.approx(1.2)
    assert found["peer", BFLOAT16].median_s == pytest.approx(1.2 * 1.005)


@pytest.mark.parametrize(("ours", "holds"), [(1.10, True), (1.125, None), (1.16, False)])
def test_a_step_is_judged_against_float32_on_both_sides_of_the_limit(
    ours: float, holds: bool | None
) -> None:
    outcomes = field(ours=ours)
    assert verdicts(compared(outcomes), outcomes)[0].holds is holds


def test_a_peer_is_judged_in_its_fastest_form() -> None:
    outcomes = field(took("slow", last=1.8, half=1.2), took("fast", last=1.8, half=0.9))
    _, slow, fast = verdicts(compared(outcomes), outcomes)
    assert (slow.holds, fast.holds) == (True, False)
    assert (slow.word, fast.word) == ("PASS", "FAIL")
    assert BFLOAT16 in slow.figures


def test_a_peer_that_may_be_as_fast_is_not_judged() -> None:
    outcomes = field(took("peer", last=1.8, half=1.0))
    assert verdicts(compared(outcomes), outcomes)[1].word == "NOT JUDGED"


def test_a_form_that_a_peer_cannot_be_trained_in_does_not_count() -> None:
    peer = took("peer", last=1.8)
    peer.problems[BFLOAT16] = "RuntimeError: no kernel"
    outcomes = field(peer)
    verdict = verdicts(compared(outcomes), outcomes)[1]
    assert verdict.holds is True
    assert LAST in verdict.figures


def test_a_peer_that_was_not_run_is_not_judged() -> None:
    absent = Outcome(Trainee("peer", "none", (LAST,), needs="peer"), "not installed")
    outcomes = field(absent)
    verdict = verdicts(compared(outcomes), outcomes)[1]
    assert verdict.word == "NOT JUDGED"
    assert "peer" in verdict.promise


def test_without_ours_there_is_nothing_to_compare() -> None:
    broken = Outcome(Trainee(OURS, "none", (BFLOAT16,)), problems={BFLOAT16: "it broke"})
    with pytest.raises(EdgewiseError, match="it broke"):
        compared([took(FLOAT, plain=1, last=1, half=1), broken])


def test_every_contender_has_a_program_and_every_peer_names_its_package() -> None:
    folder = Path(qat_steps.__file__).parent
    assert all((folder / f"{one.program}.py").is_file() for one in TRAINEES)
    assert {one.name for one in TRAINEES if one.needs is None} == {FLOAT, OURS}
