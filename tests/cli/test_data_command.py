import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli import main
from edgewise.data import fetch, registry
from edgewise.data.acquire import File, Route, Wanted
from edgewise.data.archives import spill
from edgewise.errors import FetchError
from edgewise.progress import Progress


class Shelf:
    """A source that has one file, or nothing."""

    resumes = False

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def __str__(self) -> str:
        return "the shelf"

    def bring(self, folder: Path, progress: Progress) -> None:
        if self.content is None:
            raise FetchError("it is empty")
        (folder / "a").write_bytes(self.content)


def copied(brought: Path, made: Path) -> None:
    spill(made / "a", iter([(brought / "a").read_bytes()]))


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """mnist can be had, cifar10 cannot."""
    sets = dict(fetch.CATALOGUE)
    for name, content in (("mnist", b"x"), ("cifar10", None)):
        sets[name] = Wanted(name, (File("a", 1, None),), (Route(Shelf(content), copied),))
    monkeypatch.setattr(fetch, "CATALOGUE", sets)
    monkeypatch.setitem(main.COMMANDS, "data", ("edgewise.cli.data", "List and fetch data sets."))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """The exit code and the one JSON object of a command."""
    code = main.main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_here_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ("--root", str(tmp_path))
    _, before = said(capsys, "data", "list", *root)
    assert [row["fetched"] for row in before["result"]] == [False] * len(registry.KNOWN)
    assert main.main(["data", "fetch", "mnist", *root]) == 0
    assert capsys.readouterr().out == (f"mnist: 1 files, 1 B in {tmp_path}/mnist, from the shelf\n")
    code, after = said(capsys, "data", "list", *root)
    assert (code, after["command"]) == (0, "data list")
    assert {row["name"]: row["fetched"] for row in after["result"]} == {
        name: name == "mnist" for name in registry.KNOWN
    }
    row = after["result"][1]
    assert (row["licence"], row["stand_in_for"]) == ("MIT", "cifar10")
    assert sum(row["images"].values()) == 70_000


def test_the_table_says_what_is_a_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "[red]folder[/red]"
    main.main(["data", "fetch", "mnist", "--root", str(root)])
    capsys.readouterr()
    assert main.main(["data", "list", "--root", str(root)]) == 0
    shown = "".join(capsys.readouterr().out.split())
    cells = shown.replace("│", "")
    assert "fashion-mnist" in cells
    assert "48,000train" in cells
    assert "[red]" in cells


def test_fetching_says_where_and_from_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = said(capsys, "data", "fetch", "mnist", "--root", str(tmp_path))
    assert code == 0
    assert told == {
        "schema": "edgewise/1",
        "command": "data fetch",
        "result": {
            "name": "mnist",
            "folder": str(tmp_path / "mnist"),
            "source": "the shelf",
            "tried": [],
            "size_bytes": 1,
            "files": ["a"],
        },
    }


def test_what_cannot_be_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, "data", "fetch", "cifar10", "--root", str(tmp_path))
    assert code == told["exit_code"] == 3
    assert "the shelf: it is empty" in told["error"]
    code, told = said(capsys, "data", "fetch", "imagenet")
    assert code == told["exit_code"] == 2
    assert "mnist, fashion-mnist, cifar10" in told["error"]


@pytest.mark.parametrize("command", [["data"], ["data", "list"], ["data", "fetch"]])
def test_help_has_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*command, "--help"]) == 0
    assert f"edgewise {' '.join(command)}" in capsys.readouterr().out.split("Examples:")[1]


def test_torch_is_not_loaded() -> None:
    program = "import sys; import edgewise.cli.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
