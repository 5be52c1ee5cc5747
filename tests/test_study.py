import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewise import store
from edgewise.errors import ModelError, StorageError, UsageError
from edgewise.progress import silent
from edgewise.study import Bench, Cell, Grid, finding, run, stored, weights_path

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def cell(name: str, needs: tuple[str, ...] = (), keeps: bool = False, **settings: Any) -> Cell:
    def compute(bench: Bench) -> Mapping[str, Any]:
        CALLS.append(name)
        if settings.get("fails"):
            raise ModelError("it diverged")
        assert (bench.keeps is not None) is keeps
        if bench.keeps is not None:
            store.write_bytes(bench.keeps, name.encode())
        return {"value": len(bench.weights)}

    return Cell(name, settings, compute, needs, keeps)


def grid(*cells: Cell, **inputs: str) -> Grid:
    return Grid("tiny", "quick", cells, inputs)


def test_a_cell_is_computed_once(tmp_path: Path) -> None:
    made = grid(cell("a/one", keeps=True), cell("a/two", ("a/one",)), cell("b", ("a/two",)))
    run(made, tmp_path, silent)
    run(made, tmp_path, silent)
    assert CALLS == ["a/one", "a/two", "b"]
    found = [finding(made, one, tmp_path) for one in made.cells]
    assert [one.result["value"] for one in found if one is not None] == [0, 1, 0]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".part", ".tmp"))]


@pytest.mark.parametrize("change", ["settings", "inputs", "needs"])
def test_what_decides_a_result_makes_it_new(change: str, tmp_path: Path) -> None:
    before = grid(cell("one", depth=1), cell("two", ("one",)), data="x")
    run(before, tmp_path, silent)
    after = {
        "settings": grid(cell("one", depth=2), cell("two", ("one",)), data="x"),
        "inputs": grid(cell("one", depth=1), cell("two", ("one",)), data="y"),
        "needs": grid(cell("one", depth=1), cell("two"), data="x"),
    }[change]
    CALLS.clear()
    run(after, tmp_path, silent)
    assert (["two"] if change == "needs" else ["one", "two"]) == CALLS


def test_a_failure_is_kept_shown_and_tried_again(tmp_path: Path) -> None:
    made = grid(cell("bad", fails=True), cell("after", ("bad",)), cell("other"))
    run(made, tmp_path, silent)
    shown = stored(made, made.cells[0], tmp_path)
    assert shown is not None
    assert shown.error == "it diverged"
    after = stored(made, made.cells[1], tmp_path)
    assert after is not None
    assert after.error == "it starts from bad, which failed."
    assert finding(made, made.cells[2], tmp_path) is not None
    CALLS.clear()
    run(made, tmp_path, silent)
    assert CALLS == ["bad"], "and what is there is not computed again"


def test_only_what_is_asked_for_and_what_it_needs(tmp_path: Path) -> None:
    made = grid(cell("a"), cell("b", ("a",)), cell("c"))
    run(made, tmp_path, silent, ["b"])
    assert CALLS == ["a", "b"]
    with pytest.raises(UsageError, match="no cell of tiny is called"):
        run(made, tmp_path, silent, ["nothing"])


def test_weights_that_were_lost_or_changed_are_made_again_for_who_starts_from_them(
    tmp_path: Path,
) -> None:
    made = grid(cell("a", keeps=True), cell("b", ("a",), keeps=True), cell("c", ("b",)))
    run(made, tmp_path, silent)
    first, second = (weights_path(tmp_path, one) for one in made.cells[:2])
    for damage in (first.unlink, second.unlink, lambda: first.write_bytes(b"other")):
        damage()
        CALLS.clear()
        run(made, tmp_path, silent)
        assert CALLS == [], "what came of them is there"
        assert all(finding(made, one, tmp_path) is not None for one in made.cells)
    (tmp_path / "c.json").unlink()
    run(made, tmp_path, silent)
    assert CALLS == ["a", "b", "c"]
    assert first.read_bytes() == b"a"
    assert second.read_bytes() == b"b"
    (tmp_path / "c.json").unlink()
    CALLS.clear()
    run(made, tmp_path, silent)
    assert CALLS == ["c"]


def test_a_record_that_was_changed_is_refused(tmp_path: Path) -> None:
    made = grid(cell("a"))
    run(made, tmp_path, silent)
    record = tmp_path / "a.json"
    record.write_text(record.read_text().replace('"value": 0', '"value": 9'))
    with pytest.raises(StorageError, match="was changed"):
        run(made, tmp_path, silent)


def test_two_at_once_compute_a_cell_once(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(bench: Bench) -> Mapping[str, Any]:
        CALLS.append("slow")
        gate.wait(10)
        return {"value": 1}

    made = grid(Cell("slow", {}, slow))
    threads = [threading.Thread(target=run, args=(made, tmp_path, silent)) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert CALLS == ["slow"]


def test_another_process_goes_on_with_what_nobody_is_at(tmp_path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()

    def slow(bench: Bench) -> Mapping[str, Any]:
        begun.set()
        CALLS.append("slow")
        return {"gone_on": gate.wait(20)}

    def fast(bench: Bench) -> Mapping[str, Any]:
        CALLS.append("fast")
        gate.set()
        return {}

    made = grid(Cell("slow", {}, slow), cell("after", ("slow",)), Cell("fast", {}, fast))
    one, other = (threading.Thread(target=run, args=(made, tmp_path, silent)) for _ in range(2))
    one.start()
    begun.wait(20)
    other.start()
    for thread in (one, other):
        thread.join()
    assert sorted(CALLS) == ["after", "fast", "slow"]
    found = finding(made, made.cells[0], tmp_path)
    assert found is not None
    assert found.result["gone_on"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from edgewise.progress import silent
from edgewise.study import Cell, Grid, run

def compute(bench):
    note = bench.scratch / "note"
    if not note.exists():
        note.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": note.read_text() + " and whole"}

run(Grid("tiny", "quick", (Cell("a", {}, compute),), {}), Path(sys.argv[1]), silent)
"""


def test_a_killed_cell_goes_on_where_it_was_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -9
    assert not (tmp_path / "a.json").exists()
    subprocess.run(command, check=True)
    assert store.read_record(tmp_path / "a.json")["result"]["value"] == "half and whole"
    assert not (tmp_path / ".work" / "a").exists()


def test_the_time_of_a_killed_process_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.study._TELL_S", 0.0)
    heard: list[str] = []

    def killed(bench: Bench) -> Mapping[str, Any]:
        bench.progress("training", 1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(grid(Cell("one", {}, killed)), tmp_path, lambda *said: heard.append(said[0]))
    assert "training" in heard
    told = tmp_path / ".work/one/seconds"
    assert 0 < float(told.read_text()) < 60
    for text, least in (("1000.5", 1000.5), ("no number", 0)):
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text(text)
        again = grid(cell("one", least=least))
        run(again, tmp_path, silent)
        found = finding(again, again.cells[0], tmp_path)
        assert found is not None
        assert least <= found.result["seconds"] < least + 60
