from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_bundles import HOSTILE, Sample, build, edit_record

from edgewise.cli.common import console
from edgewise.cli.results import show_bundle
from edgewise.report import page, words
from edgewise.report.contents import load
from edgewise.report.rows import rows

SMALL = Sample(samples=20, mode=None)


def boundary(place: str, elements: int, integer: bool, name: str = "body.0") -> dict[str, Any]:
    sides = {"input": (["input"], [name]), "output": ([name], ["output"])}
    before, after = sides.get(place, ([name], ["head"]))
    return {"tensor": "quantizer_1", "before": before, "after": after, "elements": elements,
            "integer": integer, "place": place}  # fmt: skip


ENDS = [boundary("input", 3072, True), boundary("output", 10, False)]
INSIDE = [boundary("inside", 8192, False), boundary("inside", 4208, True)]


def bundle(folder: Path, boundaries: list[dict[str, Any]] | None, sample: Sample = SMALL) -> Path:
    build(folder, sample)
    if boundaries is not None:
        edit_record(folder, "records/export-2.json", lambda r: r.update(boundaries=boundaries))
    return folder


def said(folder: Path) -> list[str]:
    return [words.boundaries(row) for row in rows(load(folder))]


@pytest.mark.parametrize(
    ("boundaries", "text"),
    [
        (None, ""),
        ([], ""),
        (ENDS, "no boundaries inside; image and answer: 3.082 k"),
        (INSIDE, "2 boundaries inside between integers and float, 12.4 k values converted per "
                 "image; image and answer: 0"),
        ([*ENDS, INSIDE[1]], "1 boundary inside between integers and float, 4.208 k values "
                             "converted per image; image and answer: 3.082 k"),
    ],
)  # fmt: skip
def test_boundaries_are_counted_and_their_values_added(
    boundaries: list[dict[str, Any]] | None, text: str, tmp_path: Path
) -> None:
    assert said(bundle(tmp_path, boundaries)) == ["", "", text]


def test_the_terminal_says_what_is_inside_and_the_page_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", 200)
    show_bundle(bundle(tmp_path / "mixed", [*ENDS, *INSIDE]))
    assert "int8: 2 boundaries inside" in capsys.readouterr().out
    text = page.render(tmp_path / "mixed")
    assert "body.0 → head: 8.192 k to float; body.0 → head: 4.208 k to integers" in text
    show_bundle(bundle(tmp_path / "whole", ENDS))
    assert "boundaries" not in capsys.readouterr().out
    assert page.render(tmp_path / "whole").count("no boundaries inside") == 1


def test_names_on_the_page_are_text(tmp_path: Path) -> None:
    sample = replace(SMALL, layers=("a", "b"))
    text = page.render(bundle(tmp_path, [boundary("inside", 1, True, HOSTILE)], sample))
    assert "alert(1)" in text
    assert "<script>alert" not in text
