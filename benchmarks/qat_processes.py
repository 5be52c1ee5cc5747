"""Training-step contenders as processes that stay: made once, then asked in turn.

Making one takes tens of seconds and a step about one: processes that stay are what lets every
contender have its turn in every round. Those whose turn it is not wait for input.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, environment, missing
from edgewise.progress import Progress

_TRIAL_STEPS = 1  # of each form, to see whether it can be trained in at all
_PATIENCE_S = 30


@dataclass(frozen=True)
class Trainee:
    """A program of this folder, and the forms to train its network in; needs: as of Contender."""

    name: str
    program: str
    forms: tuple[str, ...]
    needs: str | None = None


@dataclass
class Outcome:
    """What a contender took; rounds: form -> seconds of the steps of each round; problems: of the
    forms that it cannot be trained in; problem: why there is nothing at all.
    """

    trainee: Trainee
    problem: str | None = None
    problems: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.trainee.name,
            "problem": self.problem,
            "problems": dict(self.problems),
            "rounds": self.rounds,
        }


class Process:
    """One contender's process, made and waiting; closed it is gone."""

    def __init__(self, trainee: Trainee, batch: Path, threads: int) -> None:
        self._log = batch.parent / f"{trainee.program}.log"
        command = [sys.executable, "-m", f"benchmarks.{trainee.program}", str(batch)]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(threads),
                cwd=ROOT,
                text=True,
            )

    def ask(self, form: str, steps: int) -> list[float] | str:
        """Seconds of each step; a sentence where there are none."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(f"{form} {steps}\n")
            self._child.stdin.flush()
            answer = self._child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self._child.wait(_PATIENCE_S)
            lines = self._log.read_text(errors="replace").strip().split("\n")
            return f"ended with exit code {code}: {lines[-1][:200]}"
        found: Mapping[str, Any] = json.loads(answer)
        return str(found["problem"]) if "problem" in found else list(found["seconds"])

    def close(self) -> None:
        """End the process and wait until it is gone."""
        self._child.kill()
        self._child.communicate()


def run_in_turn(
    trainees: Sequence[Trainee], batch: Path, how: tuple[int, int, int], progress: Progress
) -> list[Outcome]:
    """Every contender in every form once a round, in the given order.

    how: rounds, steps of each in a round, threads. A form that fails is not tried again.
    """
    rounds, steps, threads = how
    outcomes = [Outcome(one, missing(one.needs)) for one in trainees]
    present = [one for one in outcomes if one.problem is None]
    processes: dict[str, Process] = {}
    try:
        for done, one in enumerate(present):
            progress("making contenders", done, len(present))
            processes[one.trainee.name] = Process(one.trainee, batch, threads)
            for form in one.trainee.forms:
                _turn(one, processes[one.trainee.name], form, _TRIAL_STEPS)
            _judge(one)
        for done in range(rounds * len(present)):
            progress("training steps", done, rounds * len(present))
            one = present[done % len(present)]
            for form in [form for form in one.trainee.forms if form not in one.problems]:
                _turn(one, processes[one.trainee.name], form, steps)
        progress("training steps", rounds * len(present), rounds * len(present))
    finally:
        for process in processes.values():
            process.close()
    return outcomes


def _turn(one: Outcome, process: Process, form: str, steps: int) -> None:
    answer = process.ask(form, steps)
    if isinstance(answer, str):
        one.problems[form] = answer
        one.rounds.pop(form, None)
    else:
        one.rounds.setdefault(form, []).append(answer)


def _judge(one: Outcome) -> None:
    """Trials are not measured: other contenders are being made. Without any form there is none."""
    one.rounds.clear()
    if len(one.problems) == len(one.trainee.forms):
        one.problem = next(iter(one.problems.values()))
