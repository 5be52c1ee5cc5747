import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise import store
from edgewise.errors import StorageError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(deadline=None)
@given(value=VALUES)
def test_json_is_written_and_read(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("a") / "new/value.json"
    store.write_json(path, value)
    assert store.read_json(path) == value
    assert path.read_bytes().endswith(b"\n")
    assert names(path.parent) == ["value.json"]


@settings(deadline=None)
@given(value=VALUES)
def test_the_digest_is_of_the_value_and_not_of_its_layout(value: Any) -> None:
    again = json.loads(json.dumps(value, indent=3))
    assert store.digest_json(again) == store.digest_json(value)
    if isinstance(value, dict):
        assert store.digest_json(dict(reversed(value.items()))) == store.digest_json(value)
    assert store.digest_json([value]) != store.digest_json(value)


def test_numbers_that_json_does_not_have_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"nul", b"[" * 100_000],
    ids=lambda content: str(content[:9]),
)
def test_what_is_not_json_is_a_storage_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StorageError, match="a.json is not readable JSON"):
        store.read_json(tmp_path / "a.json")
    with pytest.raises(StorageError, match="b.json does not exist"):
        store.read_json(tmp_path / "b.json")


@settings(deadline=None)
@given(content=st.binary(max_size=300))
def test_digest_of_a_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("a") / "a"
    store.write_bytes(path, content)
    expected = hashlib.sha256(content).hexdigest()
    assert store.digest_file(path) == store.digest(content) == expected


def test_digest_of_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        store.digest_file(tmp_path / "a")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_write_that_fails_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")

    def fails() -> None:
        with store.atomic(path) as part:
            part.write_bytes(b"after")
            raise error

    with pytest.raises(error):
        fails()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["a"]


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_bytes(b"half of something lon")
    store.write_bytes(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert names(tmp_path) == ["a"]


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


FILLS = """
import resource, sys
from pathlib import Path
from edgewise import store
from edgewise.errors import StorageError
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    store.write_bytes(Path(sys.argv[1]), b"x" * 10_000)
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 1, 9_999])
@pytest.mark.parametrize("before", [None, b"before"])
def test_a_full_disk_changes_nothing(tmp_path: Path, limit: int, before: bytes | None) -> None:
    path = tmp_path / "a"
    if before is not None:
        path.write_bytes(before)
    done = run(FILLS, path, limit)
    assert done.stdout.startswith(f"{path} could not be written: File too large."), done.stderr
    assert names(tmp_path) == ([] if before is None else ["a"])
    assert before is None or path.read_bytes() == before


def test_the_limit_is_what_stops_it(tmp_path: Path) -> None:
    assert run(FILLS, tmp_path / "a", 10_000).stdout == ""
    assert (tmp_path / "a").stat().st_size == 10_000


KILLED = """
import os, signal, sys
from pathlib import Path
from edgewise import store

folder, last = Path(sys.argv[1]), int(sys.argv[2])

def listen(event, arguments):
    global last
    if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
        last -= 1
        if last == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(listen)
store.write_bytes(folder / "a", b"after")
"""


def test_killed_between_any_two_steps(tmp_path: Path) -> None:
    """Before the first, second, ... open or rename: the old file or the new one, never half."""
    for step in range(1, 20):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "a").write_bytes(b"before")
        code = run(KILLED, folder, step).returncode
        assert code in (0, -signal.SIGKILL)
        assert (folder / "a").read_bytes() == (b"before" if step <= 3 else b"after")
        store.write_bytes(folder / "a", b"after")
        assert (folder / "a").read_bytes() == b"after"
        assert names(folder) == ["a"]
        if code == 0:
            break
    assert step == 5, "open, open to sync, rename, open the folder to sync, done"


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("")
    with pytest.raises(StorageError, match="a could not be written"):
        store.write_bytes(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]
    with pytest.raises(StorageError, match="c could not be written"):
        store.write_bytes(tmp_path / "a/b/c", b"x")


def test_a_path_that_is_not_utf8_can_be_recorded(tmp_path: Path) -> None:
    store.write_json(tmp_path / "a.json", {"command": ["caf\udce9"]})
    assert store.read_json(tmp_path / "a.json") == {"command": ["caf\udce9"]}


def test_a_record_holds_in_the_form_in_which_it_is_read(tmp_path: Path) -> None:
    counts = {number: (number, 0.5) for number in (2, 10, 1)}
    store.Record("histogram", {}, {}, {"counts": counts}).save(tmp_path / "a.json")
    stored = store.read_record(tmp_path / "a.json")
    assert stored["result"]["counts"] == {"2": [2, 0.5], "10": [10, 0.5], "1": [1, 0.5]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"], ids=str)
def test_a_record_of_anything_but_json_is_a_storage_error(tmp_path: Path, value: object) -> None:
    with pytest.raises(StorageError, match="record of kind 'k' is not JSON"):
        store.Record("k", {}, {}, {"x": value}).save(tmp_path / "a.json")
    assert names(tmp_path) == []


RECORD = store.Record(
    "accuracy", {"seed": 1, "limit": None}, {"mnist/test": "ab"}, {"accuracy": 0.9312, "n": [1, 2]}
)


def test_a_record_comes_back(tmp_path: Path) -> None:
    RECORD.save(tmp_path / "a.json")
    stored = store.read_record(tmp_path / "a.json")
    assert stored["schema"] == store.SCHEMA
    assert (stored["kind"], stored["request"]) == ("accuracy", {"seed": 1, "limit": None})
    assert stored["result"] == {"accuracy": 0.9312, "n": [1, 2]}
    assert stored["versions"]["numpy"]
    assert stored["machine"]["cores"] == os.cpu_count()


@settings(deadline=None)
@given(data=st.data())
def test_a_record_that_was_changed_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One leaf of the record becomes something else, whichever it is."""
    path = tmp_path_factory.mktemp("a") / "a.json"
    RECORD.save(path)
    stored = json.loads(path.read_bytes())
    at = stored
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key]:
            break
        at = at[key]
    at[key] = data.draw(VALUES.filter(lambda value: json.dumps(value) != json.dumps(at[key])))
    path.write_text(json.dumps(stored))
    with pytest.raises(StorageError, match="digest does not hold|not a record of schema"):
        store.read_record(path)


@settings(deadline=None)
@given(value=VALUES)
def test_any_json_is_a_record_or_a_storage_error(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.mktemp("a") / "a.json"
    store.write_json(path, value)
    with pytest.raises(StorageError):
        store.read_record(path)


def test_a_member_taken_out_or_put_in_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    RECORD.save(path)
    stored = json.loads(path.read_bytes())
    for key in stored:
        path.write_text(json.dumps({k: v for k, v in stored.items() if k != key}))
        with pytest.raises(StorageError):
            store.read_record(path)
    path.write_text(json.dumps({**stored, "extra": 1}))
    with pytest.raises(StorageError, match="digest does not hold"):
        store.read_record(path)


def test_a_folder_is_removed_if_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    store.remove_folder(tmp_path / "a")
    store.remove_folder(tmp_path / "a")
    assert names(tmp_path) == []
