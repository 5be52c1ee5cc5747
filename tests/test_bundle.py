import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewise import store
from edgewise.bundle import (
    MANIFEST,
    Bundle,
    building,
    free_bytes,
    read_bundle,
    verify_hashes,
    write_manifest,
)
from edgewise.errors import StorageError, UsageError, VerificationError


class StopHereError(Exception):
    """As if the work failed."""


def stop_within(folder: Path) -> None:
    with building(folder):
        raise StopHereError


def content(text: str) -> dict[str, Any]:
    """The least that a manifest says."""
    variant = {"name": text, "artifact": "x", "runtime": "x", "size_bytes": 1, "digest": "x"}
    return {"variants": [variant], "records": {}, "data": {"name": text}, "contract": {}}


def make(folder: Path, text: str = "one") -> Bundle:
    with building(folder) as part:
        (part / "int8").mkdir()
        (part / "int8/model.onnx").write_text(text)
        store.Record("x", {}, {}, {"value": 1}).save(part / "records/x.json")
        write_manifest(part, content(text))
    return read_bundle(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_appears_whole_and_alone(tmp_path: Path) -> None:
    made = make(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert made.manifest["data"] == {"name": "one"}
    assert set(made.manifest["files"]) == {"int8/model.onnx", "records/x.json"}
    assert verify_hashes(made) == ["int8/model.onnx", "records/x.json"]
    assert made.record("records/x.json")["result"] == {"value": 1}


def test_parents_are_made(tmp_path: Path) -> None:
    assert verify_hashes(make(tmp_path / "a/b/out"))


def test_until_the_work_is_done_nothing_is_there(tmp_path: Path) -> None:
    with building(tmp_path / "out") as part:
        assert names(tmp_path) == [".out.part"]
        assert part == tmp_path / ".out.part"
        write_manifest(part, content("x"))
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_work_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def work() -> None:
        with building(tmp_path / "out") as part:
            (part / "file").write_text("x")
            raise error

    with pytest.raises(error):
        work()
    assert names(tmp_path) == []


def test_work_that_fails_leaves_the_earlier_bundle(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(StopHereError):
        stop_within(tmp_path / "out")
    assert verify_hashes(read_bundle(tmp_path / "out"))
    assert names(tmp_path) == ["out"]


def test_a_new_bundle_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    (make(tmp_path / "out").folder / "report.html").write_text("x")
    made = make(tmp_path / "out", "two")
    assert names(made.folder) == ["int8", MANIFEST, "records"]
    assert (made.folder / "int8/model.onnx").read_text() == "two"
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert verify_hashes(make(tmp_path / "out"))


def test_a_folder_of_other_files_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.png").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        make(tmp_path / "out")
    assert names(tmp_path / "out") == ["photo.png"]
    assert names(tmp_path) == ["out"]


def test_a_folder_whose_manifest_is_of_something_else_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text('{"name": "a web application"}')
    (tmp_path / "out/photo.png").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        make(tmp_path / "out")
    assert names(tmp_path / "out") == [MANIFEST, "photo.png"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        make(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "x"


def test_the_folder_that_one_stands_in_is_no_place_for_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in (".", "..", "/"):
        with pytest.raises(UsageError):
            make(Path(folder))
    assert names(tmp_path) == ["here"]


KILLED = """
import os, signal, sys
from pathlib import Path
from edgewise.bundle import building, write_manifest
CONTENT = {"variants": [], "records": {}, "data": {"name": "x"}, "contract": {}}
where, out = sys.argv[1:]
rename = Path.rename
def renaming(self, target):
    done = rename(self, target)
    if where == "between" and str(target).endswith(".old"):
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.rename = renaming
with building(Path(out)) as part:
    (part / "file").write_text("new")
    if where == "work":
        os.kill(os.getpid(), signal.SIGKILL)
    write_manifest(part, CONTENT)
"""


def kill(where: str, folder: Path) -> None:
    command = [sys.executable, "-c", KILLED, where, str(folder)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_a_killed_run_shows_nothing_and_the_next_one_starts_anew(tmp_path: Path) -> None:
    kill("work", tmp_path / "out")
    assert names(tmp_path) == [".out.part"]
    assert verify_hashes(make(tmp_path / "out"))
    assert names(tmp_path) == ["out"]


def test_a_run_killed_between_two_renames_has_not_lost_the_earlier_bundle(tmp_path: Path) -> None:
    make(tmp_path / "out")
    kill("between", tmp_path / "out")
    with pytest.raises(StopHereError):
        stop_within(tmp_path / "out")
    assert verify_hashes(read_bundle(tmp_path / "out"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="could not be written"):
        make(tmp_path / "out")


def test_a_place_below_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="could not be written"):
        make(tmp_path / "file/out")


@pytest.mark.parametrize(
    ("harm", "match"),
    [
        (lambda f: (f / "int8/model.onnx").write_text("two"), r"int8/model\.onnx was changed"),
        (lambda f: (f / "int8/model.onnx").unlink(), r"int8/model\.onnx is missing"),
        (lambda f: (f / "int8/more").write_text("x"), "int8/more is not in the manifest"),
        (lambda f: (f / "int8/report.html").write_text("x"), r"report\.html is not in"),
        (lambda f: (f / "records/x.json").write_text("{}"), r"records/x\.json was changed"),
        (lambda f: (f / "int8/model.onnx").rename(f / "moved"), "is missing; moved is not in"),
    ],
)  # fmt: skip
def test_whatever_was_done_to_a_file_is_found_by_name(
    tmp_path: Path, harm: Any, match: str
) -> None:
    made = make(tmp_path / "out")
    harm(made.folder)
    with pytest.raises(VerificationError, match=match):
        verify_hashes(read_bundle(made.folder))


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    made = make(tmp_path / "out")
    (made.folder / "int8/model.onnx").write_text("two")
    (made.folder / "records/x.json").unlink()
    with pytest.raises(VerificationError, match="records/x.json is missing; .*was changed"):
        verify_hashes(made)


def test_a_page_made_of_the_bundle_is_no_part_of_it(tmp_path: Path) -> None:
    made = make(tmp_path / "out")
    (made.folder / "report.html").write_text("x")
    assert len(verify_hashes(made)) == 2


def test_a_record_that_was_changed_is_found_by_its_own_digest(tmp_path: Path) -> None:
    made = make(tmp_path / "out")
    path = made.folder / "records/x.json"
    path.write_text(path.read_text().replace('"value": 1', '"value": 2'))
    with pytest.raises(StorageError, match="was changed after it was written"):
        made.record("records/x.json")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "holds no bundle"), ("", "not readable JSON"), ("{", "not readable JSON"),
        ("[]", "not a bundle's manifest"), ("{}", "not a bundle's manifest"),
        ('{"kind": "bundle"}', "of schema None"),
        ('{"kind": "bundle", "schema": "edgewise/99"}', "this version reads edgewise/1"),
        ("[" * 100_000, "not readable JSON"),
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_said(tmp_path: Path, content: str | None, match: str) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(StorageError, match=match):
        read_bundle(tmp_path)


@pytest.mark.parametrize("files", [None, [], "x", {"int8/model.onnx": 5}, {"../x": "y"}])
def test_a_manifest_with_no_list_of_hashes_does_not_hold(tmp_path: Path, files: Any) -> None:
    made = make(tmp_path / "out")
    manifest = json.loads((made.folder / MANIFEST).read_text())
    manifest["files"] = files
    (made.folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StorageError):
        verify_hashes(read_bundle(made.folder))


def test_free_space_is_of_the_place_even_before_the_folder_is_there(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a/b/c") > 0
