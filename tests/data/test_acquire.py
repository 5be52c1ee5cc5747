import os
import threading
from pathlib import Path

import pytest
from oddset import CONTENTS, Shelf, check, listing, wanted
from website import Site, serving

from edgewise.data.acquire import fetch_set, is_here, record
from edgewise.data.sources import Http
from edgewise.errors import DataError, FetchError, StorageError


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_the_first_source_that_does(tmp_path: Path) -> None:
    wrong = {**CONTENTS, "a": CONTENTS["b"]}
    damaged = {**CONTENTS, "b": b"SMALL"}
    odd = wanted(
        Shelf("shut", error=FetchError("no connection")),
        Shelf("wrong", wrong),
        Shelf("damaged", damaged),
        Shelf("odd", error=DataError("is damaged")),
        Shelf("good", CONTENTS),
        Shelf("never asked", error=AssertionError("asked")),
    )
    assert not is_here(odd, tmp_path)
    assert fetch_set(odd, tmp_path) == tmp_path / "odd"
    assert is_here(odd, tmp_path)
    check(tmp_path)
    stored = record(odd, tmp_path)
    assert stored["source"] == "good"
    assert [each["source"] for each in stored["tried"]] == ["shut", "wrong", "damaged", "odd"]
    assert stored["tried"][1]["reason"] == "a has 5 bytes, not 300000"
    assert "b has the SHA-256" in stored["tried"][2]["reason"]


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    fetch_set(wanted(Shelf("good", CONTENTS)), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "odd").iterdir()}
    fetch_set(wanted(Shelf("shut", error=AssertionError("asked"))), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "odd").iterdir()} == before
    check(tmp_path)


@pytest.mark.parametrize("pinned", [True, False], ids=["published", "recorded"])
def test_a_file_that_was_changed_is_fetched_again(tmp_path: Path, pinned: bool) -> None:
    odd = wanted(Shelf("good", CONTENTS), pinned=pinned)
    fetch_set(odd, tmp_path)
    (tmp_path / "odd/b").write_bytes(b"SMALL")
    fetch_set(odd, tmp_path)
    check(tmp_path)
    (tmp_path / "odd/a").unlink()
    fetch_set(odd, tmp_path)
    check(tmp_path)


def test_files_put_there_by_hand_will_do(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "odd" / name).write_bytes(content)
    for pinned in (True, False):
        shut = wanted(Shelf("shut", error=AssertionError("asked")), pinned=pinned)
        assert fetch_set(shut, tmp_path) == tmp_path / "odd"
        assert record(shut, tmp_path) == {}


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "other", "files": {"a": "x"}}'])
def test_a_record_of_another_kind_is_none(tmp_path: Path, content: str) -> None:
    odd = wanted(Shelf("good", CONTENTS), pinned=False)
    fetch_set(odd, tmp_path)
    (tmp_path / "odd/fetched.json").write_text(content)
    assert record(odd, tmp_path) == {}
    fetch_set(odd, tmp_path)


def test_no_source_names_every_reason_and_leaves_nothing(tmp_path: Path) -> None:
    odd = wanted(
        Shelf("one", error=FetchError("no connection")),
        Shelf("other", CONTENTS, error=FetchError("went away")),
    )
    with pytest.raises(FetchError, match="one: no connection\n  other: went away\n") as caught:
        fetch_set(odd, tmp_path)
    assert "put a, b into" in str(caught.value)
    assert listing(tmp_path) == set()


def test_what_the_disk_refuses_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    full = Shelf("one", CONTENTS, error=StorageError("the disk is full"))
    with pytest.raises(StorageError, match="full"):
        fetch_set(wanted(full, Shelf("good", CONTENTS)), tmp_path)
    assert listing(tmp_path) == set()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        fetch_set(wanted(Shelf("good", CONTENTS)), tmp_path / "file")


def test_a_broken_download_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    with serving(Site(CONTENTS, stop_after=40_000)) as site:
        odd = wanted(Http(site.address, {"a": 300_000, "b": 5}))
        with pytest.raises(FetchError, match="stopped after"):
            fetch_set(odd, tmp_path)
        assert listing(tmp_path) == {".odd.fetch", ".odd.fetch/kept-0", ".odd.fetch/kept-0/.a.part"}
        site.stop_after = None
        fetch_set(odd, tmp_path)
        assert int(site.asked[-2][1].split("=")[1][:-1]) > 150_000  # type: ignore[union-attr]
    check(tmp_path)


def test_a_broken_download_goes_when_another_source_does(tmp_path: Path) -> None:
    with serving(Site(CONTENTS, stop_after=40_000)) as site:
        odd = wanted(Http(site.address, {"a": 300_000, "b": 5}), Shelf("good", CONTENTS))
        fetch_set(odd, tmp_path)
    check(tmp_path)


def test_a_damaged_part_gets_one_fresh_start(tmp_path: Path) -> None:
    kept = tmp_path / ".odd.fetch/kept-0"
    kept.mkdir(parents=True)
    (kept / ".a.part").write_bytes(bytes(100_000))
    with serving(Site(CONTENTS)) as site:
        fetch_set(wanted(Http(site.address, {"a": 300_000, "b": 5})), tmp_path)
        assert [each for each in site.asked if each[0] == "a"] == [
            ("a", "bytes=99999-"),
            ("a", None),
        ]
    check(tmp_path)


def test_wrong_content_is_not_kept(tmp_path: Path) -> None:
    with serving(Site({**CONTENTS, "b": b"SMALL"})) as site:
        odd = wanted(Http(site.address, {"a": 300_000, "b": 5}))
        with pytest.raises(FetchError, match="b has the SHA-256"):
            fetch_set(odd, tmp_path)
        assert len(site.asked) == 2
    assert listing(tmp_path) == set()


def test_two_at_once_fetch_once(tmp_path: Path) -> None:
    """The second waits for the first, and finds everything there."""
    asked: list[str] = []
    second = threading.Thread(
        target=lambda: fetch_set(
            wanted(Shelf("b", CONTENTS, then=lambda: asked.append("b"))), tmp_path
        )
    )

    def first_asked() -> None:
        asked.append("a")
        second.start()
        second.join(0.2)
        assert second.is_alive(), "the second did not wait"

    fetch_set(wanted(Shelf("a", CONTENTS, then=first_asked)), tmp_path)
    second.join()
    assert asked == ["a"]
    check(tmp_path)


def test_nothing_is_left_when_the_user_stops_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch_set(wanted(Shelf("stopped", CONTENTS, error=KeyboardInterrupt())), tmp_path)
    assert listing(tmp_path) == set()


def test_a_lock_is_not_a_file(tmp_path: Path) -> None:
    fetch_set(wanted(Shelf("good", CONTENTS)), tmp_path)
    assert os.listdir(tmp_path) == ["odd"]
