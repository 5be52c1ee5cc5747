"""The detection study at toy size, and its tables from made-up figures."""

from pathlib import Path
from typing import Any

import pytest
from squares import squares_set

from edgewise.progress import silent
from edgewise.quant.scheme import INT8
from edgewise.studies.yolov3.cells import PARTS, Partial, partials
from edgewise.studies.yolov3.grid import grid
from edgewise.studies.yolov3.scales import SCALES, Scale
from edgewise.studies.yolov3.tables import plots, tables
from edgewise.study import Cell, Finding, run, stored

TINY = Scale(1, 0.05, (1, 1, 1, 1, 1), None, 1, {(8, 8): 1}, 8, 6)


def test_every_combination_of_parts_is_there_once() -> None:
    names = [one.name for one in partials()]
    assert len(names) == len(set(names)) == 7 + 2
    assert {"backbone", "neck", "head", "backbone+neck+head"} <= set(names)
    kept = {one.name: one.recipe(INT8, ("o",)).to_json()["steps"][-1]["keep_float"]
            for one in partials()}  # fmt: skip
    assert kept["backbone"] == ("neck", "head")
    assert kept["neck+head"] == ("backbone", "o")
    assert kept["backbone+neck+head"] == ("o",)
    assert kept["head with outputs"] == ("backbone", "neck")
    assert kept["backbone+neck+head with outputs"] == ()
    assert all(set(parts) <= set(PARTS) for parts in (one.parts for one in partials()))


def test_cells_are_scored_from_their_artifacts_and_stand_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = (Partial(("neck",)), Partial(PARTS), Partial(PARTS, outputs=True))
    monkeypatch.setattr("edgewise.studies.yolov3.cells.partials", lambda: iter(some))
    made = grid(squares_set(), "quick", TINY, 1)
    run(made, tmp_path, silent, ["seed-0/partial-int8", "seed-0/qat-int8"])
    found = [one for cell in made.cells if (one := stored(made, cell, tmp_path)) is not None]
    assert [one.error for one in found] == [None] * 3
    results = {one.cell.name.partition("/")[2]: one.result for one in found}
    rows = results["partial-int8"]["rows"]
    assert [row["name"] for row in rows] == [one.name for one in some]
    shares = {row["name"]: row["export"]["integer_mac_share"] for row in rows}
    assert shares["backbone+neck+head with outputs"] == 1
    assert shares["neck"] < shares["backbone+neck+head"] < 1
    for row in (*rows, results["qat-int8"]):
        assert row["export"]["worst_code"] <= 1
        assert set(row["artifact"]) == {"ap50", "ap75", "coco"}
        assert row["agreement"]["repeated"] <= row["agreement"]["of"]
    shown = "\n".join("|".join(row) for table in tables(found) for row in table.rows)
    assert "8 bits, in training|69.29 %|-0.04" in shown
    assert "\nneck|-0.32|" in shown
    assert any(plot.curves for plot in plots(found))


def finding(name: str, result: dict[str, Any]) -> Finding:
    def never(bench: object) -> dict[str, Any]:
        raise AssertionError

    return Finding(Cell(name, {}, never), {"result": result})


def figures(value: float) -> dict[str, Any]:
    one = {"value": value, "low": value - 0.01, "high": value + 0.02}
    return dict.fromkeys(("ap50", "ap75", "coco"), one)


def test_differences_are_points_with_their_intervals() -> None:
    export = {"size_bytes": 5_000_000}
    floats = {"artifact": figures(0.8), "export": export, "classes": []}
    row = {"name": "head", "artifact": figures(0.79), "less_float": figures(-0.01),
           "simulation": {"ap50": 0.79}, "export": export}  # fmt: skip
    found = [
        finding("seed-0/float", floats),
        finding("seed-0/partial-int8", {"rows": [row], "float": figures(0.8)}),
    ]
    parts = next(one for one in tables(found) if one.title.startswith("2."))
    line = dict(zip(parts.headings, parts.rows[0], strict=True))
    assert line["paper, mAP less float"] == "-1.15"
    assert line["mAP@0.5"] == "79.00 %"
    assert line["mAP@0.5, less float"] == "-1.00 (-2.00 to +1.00)"
    assert line["file"] == "5 MB"


def test_what_failed_is_shown_as_such() -> None:
    (table,) = tables([finding("tiny/agreement", {"error": "darknet is not there"})])
    assert table.rows == (("tiny/agreement", "darknet is not there"),)


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_makes_a_grid(name: str) -> None:
    made = grid(squares_set(), name, SCALES[name], 1)
    assert len({made.key(cell) for cell in made.cells}) == len(made.cells)


def test_precision_stands_by_the_time_of_the_exact_network() -> None:
    row = {"artifact": figures(0.7), "export": {"size_bytes": 1}}
    timed = {
        "float32, onnxruntime": 0.4, "head int8, onnxruntime": 0.3, "int8, onnxruntime": 0.1,
        "int8, litert": 0.2,
    }  # fmt: skip
    parts = [{"name": name, **row} for name in ("head", "neck")]
    found = [
        finding("seed-0/float", {**row, "artifact": figures(0.8)}),
        finding("seed-0/partial-int8", {"rows": parts}),
        finding("measured/local", {
            "variants": [{"name": name, "p50_s": {"value": p50}} for name, p50 in timed.items()],
        }),
    ]  # fmt: skip
    (made,) = (one for one in plots(found) if one.title == "AP75 by latency")
    assert [(one.name, one.at, one.values) for one in made.curves] == [
        ("float", (400.0,), (80.0,)), ("head", (300.0,), (70.0,)),
    ]  # fmt: skip
    assert not [one for one in plots(found[:2]) if "latency" in one.title]
