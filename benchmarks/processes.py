"""Run contenders as whole processes, in turn, and keep what each of them took."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from edgewise.progress import Progress

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Contender:
    """A program of this folder with its arguments.

    out: the file it writes; needs: a package that may not be installed.
    """

    name: str
    program: str
    arguments: tuple[str, ...]
    out: Path
    needs: str | None = None


@dataclass(frozen=True)
class Run:
    """What one process took; verify_s: the part of wall_s that checked the result."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    verify_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """All runs of a contender, or why there are none; neither where its file was there before."""

    contender: Contender
    runs: tuple[Run, ...]
    problem: str | None = None

    @property
    def wall_s(self) -> float:
        """Median over the runs."""
        return median(run.wall_s for run in self.runs)

    @property
    def cpu_s(self) -> float:
        """Median over the runs, of all threads."""
        return median(run.cpu_s for run in self.runs)

    @property
    def peak_bytes(self) -> float:
        """Median over the runs."""
        return median(run.peak_bytes for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        runs = [asdict(run) for run in self.runs]
        shown: dict[str, Any] = {"name": self.contender.name, "problem": self.problem, "runs": runs}
        if self.runs:
            shown |= {
                "wall_s": self.wall_s,
                "cpu_s": self.cpu_s,
                "peak_bytes": self.peak_bytes,
            }
        return shown


def run_in_turn(
    contenders: Sequence[Contender], rounds: int, threads: int, progress: Progress
) -> list[Outcome]:
    """Every contender once a round, in the given order; a failed one is not run again."""
    runs: dict[str, list[Run]] = {one.name: [] for one in contenders}
    problems = {one.name: missing(one.needs) for one in contenders}
    total = rounds * len(contenders)
    for done in range(total):
        one = contenders[done % len(contenders)]
        progress("quantizing", done, total)
        if problems[one.name] is None:
            taken = _run(one, threads)
            if isinstance(taken, Run):
                runs[one.name].append(taken)
            else:
                problems[one.name] = taken
    progress("quantizing", total, total)
    return [
        Outcome(one, () if problems[one.name] else tuple(runs[one.name]), problems[one.name])
        for one in contenders
    ]


def missing(package: str | None) -> str | None:
    """What to do about a package that is needed and not installed."""
    if package is None or find_spec(package) is not None:
        return None
    return "not installed: pip install 'edgewise[peers]'"


def _run(one: Contender, threads: int) -> Run | str:
    """One process; a sentence where it failed."""
    log = one.out.with_suffix(".log")
    program = [sys.executable, "-m", f"benchmarks.{one.program}", *one.arguments]
    watch = [sys.executable, "-S", str(ROOT / "benchmarks" / "stopwatch.py"), str(log)]
    answer = subprocess.run(
        [*watch, *program], check=True, capture_output=True, env=environment(threads), cwd=ROOT
    )
    taken = json.loads(answer.stdout)
    code = taken.pop("exit_code")
    if code != 0 or not one.out.is_file():
        lines = log.read_text(errors="replace").split("\n")
        return f"ended with exit code {code}: {' '.join(lines[-3:]).strip()[:200]}"
    beside = one.out.with_suffix(".json")
    details = json.loads(beside.read_text()) if beside.is_file() else {}
    return Run(**taken, **details)


def environment(threads: int) -> Mapping[str, str]:
    """What every contender's process is given."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "CI": "true",  # no telemetry from anyone
    }
