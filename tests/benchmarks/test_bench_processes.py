"""Whole processes: their own time and memory, and what failed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from benchmarks.processes import ROOT, Contender, Run, run_in_turn

from edgewise.progress import silent

WATCH = ROOT / "benchmarks" / "stopwatch.py"


def watch(tmp_path: Path, code: str) -> dict[str, float]:
    command = [sys.executable, "-S", str(WATCH), str(tmp_path / "log"), sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, capture_output=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def test_peak_memory_is_that_of_the_process_and_not_of_who_started_it(tmp_path: Path) -> None:
    mine = np.ones(25_000_000)  # 200 MB, which a forked child would be charged with
    small = watch(tmp_path, "pass")
    large = watch(tmp_path, "b = bytearray(150_000_000)")
    assert small["peak_bytes"] < 60e6 < mine.nbytes
    assert 150e6 < large["peak_bytes"] - small["peak_bytes"] + 5e6 < 170e6


def test_time_waiting_is_wall_time_and_not_processor_time(tmp_path: Path) -> None:
    taken = watch(tmp_path, "import time; time.sleep(0.3)")
    assert taken["wall_s"] >= 0.3 > taken["cpu_s"]


def test_what_the_process_printed_is_kept(tmp_path: Path) -> None:
    taken = watch(tmp_path, "import sys; print('said'); sys.exit(3)")
    assert taken["exit_code"] == 3
    assert (tmp_path / "log").read_text() == "said\n"


def test_every_contender_runs_once_a_round_in_turn(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    # stopwatch itself is a program of that folder: it runs a command and is run as one.
    code = f"open({str(out)!r}, 'w').write('{{}}')"
    arguments = (str(tmp_path / "inner"), sys.executable, "-c", code)
    (one,) = run_in_turn([Contender("one", "stopwatch", arguments, out)], 2, 1, silent)
    assert one.problem is None
    assert len(one.runs) == 2
    assert all(isinstance(run, Run) and run.wall_s > 0 for run in one.runs)


def test_a_contender_that_fails_says_how_and_is_not_run_again(tmp_path: Path) -> None:
    arguments = (str(tmp_path / "no" / "log"), sys.executable)
    failing = Contender("failing", "stopwatch", arguments, tmp_path / "out")
    calls: list[int] = []
    (one,) = run_in_turn([failing], 3, 1, lambda stage, done, total: calls.append(done))
    assert one.runs == ()
    assert one.problem is not None
    assert "exit code 1" in one.problem
    assert "FileNotFoundError" in one.problem


def test_a_package_that_is_absent_is_named_with_what_installs_it(tmp_path: Path) -> None:
    absent = Contender("absent", "ptq_nncf", (), tmp_path / "out", needs="no_such_package")
    (one,) = run_in_turn([absent], 1, 1, silent)
    assert one.problem == "not installed: pip install 'edgewise[peers]'"
