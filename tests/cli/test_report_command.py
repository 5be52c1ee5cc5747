import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli import main


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a made-up bundle with the given options."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "report")
    import report_bundles

    monkeypatch.setitem(main.COMMANDS, "report", ("edgewise.cli.report", "Show a bundle."))

    def made(folder: Path, **options: Any) -> Path:
        return report_bundles.build(folder, report_bundles.Sample(samples=30, **options))

    return made


def test_the_table_and_the_page(
    build: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "out")
    assert main.main(["report", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "int8 is 4.0 times smaller and" in said
    assert "91.25 %" in said
    assert "Quick measurement" in said
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_one_json_object(
    build: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "out", stand_in_for="cifar10")
    assert main.main(["report", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["command"]) == ("edgewise/1", "report")
    result = said["result"]
    assert result["page"] == str(folder / "report.html")
    assert [one["title"] for one in result["notices"]] == ["Stand-in data", "Quick measurement"]
    assert [one["variant"] for one in result["variants"]] == ["float32", "fp16", "int8"]
    size = result["variants"][2]["figures"]["size"]
    assert size["value"] == 1_000_000
    assert size["unit"] == "bytes"
    assert size["source"] == "records/export-2.json"


def test_no_bundle_no_page(
    build: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["report", str(tmp_path)]) == 9
    assert "holds no bundle" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_bundle_leaves_the_old_page(
    build: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "out")
    assert main.main(["report", str(folder)]) == 0
    before = (folder / "report.html").read_bytes()
    (folder / "records/accuracy.json").write_bytes(b"{")
    assert main.main(["report", str(folder)]) == 9
    assert "records/accuracy.json is not readable JSON" in capsys.readouterr().err
    assert (folder / "report.html").read_bytes() == before


def test_the_command_does_not_load_torch() -> None:
    program = "import sys, edgewise.cli.report; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
