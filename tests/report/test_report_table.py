import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_bundles import HOSTILE, Sample, build
from rich.console import Console

from edgewise import store
from edgewise.report import detector, grids, near, table
from edgewise.report.cell import MISSING, Cell
from edgewise.report.contents import Contents, load
from edgewise.report.parse import printable
from edgewise.report.rows import Row, rows

SMALL = Sample(samples=30)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("table") / "bundle", SMALL)


@pytest.fixture(scope="module")
def contents(bundle: Path) -> Contents:
    return load(bundle)


@pytest.fixture(scope="module")
def lines(contents: Contents) -> tuple[Row, ...]:
    return rows(contents)


def figures_in(value: Any) -> Iterator[float]:
    """Every number in parsed JSON."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from figures_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from figures_in(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def test_every_figure_is_in_the_record_that_it_names(bundle: Path, lines: tuple[Row, ...]) -> None:
    seen = 0
    for row in table.to_json(lines):
        for heading, figure in row["figures"].items():
            if figure is None:
                continue
            record = store.read_record(bundle / figure["source"])
            assert figure["digest"] == record["digest"]
            stored = set(figures_in(record["result"]))
            shown = {figure[name] for name in ("value", "low", "high") if name in figure}
            assert shown <= stored, heading
            seen += len(shown)
    assert seen == 12 + 18 + 19  # the baseline has no differences, only int8 has codes


def test_every_figure_of_the_small_tables_is_in_its_record(
    bundle: Path, contents: Contents
) -> None:
    assert contents.accuracy is not None
    assert contents.measurement is not None
    export = contents.exports["int8"]
    shown = {
        "accuracies": grids.accuracies(contents.accuracy),
        "timings": grids.timings(contents.measurement),
        "layers": grids.layers(export, contents.sensitivities["int8"]),
        "tensors": grids.tensors(export),
    }
    stored = {
        one.file: set(figures_in(store.read_record(bundle / one.file)["result"]))
        for one in contents.sources
    }
    for name, grid in shown.items():
        cells = [cell for line in grid.lines for cell in line if cell.figure is not None]
        assert len(cells) >= 10
        for cell in cells:
            assert cell.source is not None
            bounds = vars(cell.figure).values() if hasattr(cell.figure, "low") else [cell.figure]
            assert set(bounds) <= stored[cell.source.file], name


def test_units_are_stated(lines: tuple[Row, ...]) -> None:
    for row in lines:
        for heading, cell in table.cells(row).items():
            assert (cell.figure is None) == (cell.text == MISSING or heading == "variant")
            assert (cell.figure is None) == (cell.unit == "")
            assert (cell.figure is None) == (cell.source is None)


def test_what_is_missing_is_a_dash_and_never_a_zero(tmp_path: Path) -> None:
    sample = replace(SMALL, mode=None, labelled=False)
    for row in rows(load(build(tmp_path, sample))):
        shown = table.cells(row)
        for heading in ("accuracy", "difference to float", "latency p50", "speed-up",
                        "first inference", "peak memory", "CPU"):  # fmt: skip
            assert shown[heading] == Cell(MISSING)
        assert shown["same answers as float"].text != MISSING
        assert shown["size"].text != MISSING


def test_p99_needs_a_thousand_samples(tmp_path: Path) -> None:
    for samples, allowed in ((30, False), (340, True)):
        contents = load(build(tmp_path / str(samples), replace(SMALL, samples=samples)))
        assert contents.measurement is not None
        grid = grids.timings(contents.measurement)
        column = grid.headings.index("p99")
        assert {line[column].text != MISSING for line in grid.lines} == {allowed}


def test_the_baseline_is_compared_with_nothing(lines: tuple[Row, ...]) -> None:
    first = table.cells(lines[0])
    assert first["variant"].detail == "baseline"
    assert first["speed-up"].text == first["difference to float"].text == MISSING
    assert first["size"].detail == ""


def test_a_tie_is_called_a_tie(lines: tuple[Row, ...]) -> None:
    shown = {row.variant.name: table.cells(row)["speed-up"] for row in lines}
    assert shown["fp16"].detail.endswith(", a tie")
    assert "tie" not in shown["int8"].detail


def test_a_runtime_without_integers_shows_zero_percent(lines: tuple[Row, ...]) -> None:
    shown = {row.variant.name: table.cells(row) for row in lines}
    assert shown["fp16"]["MACs in int8"].text == "0 %"
    assert shown["fp16"]["codes off"].text == MISSING
    assert shown["int8"]["MACs in int8"].text == "60.0 %"


def test_headings_are_explained() -> None:
    known = {*table.ACCURACY, *detector.COLUMNS, near.NOISE, near.SAME, *table.COSTS}
    assert set(table.NOTES) == known


def test_layers_that_run_twice_keep_their_own_figures(tmp_path: Path) -> None:
    sample = replace(SMALL, mode=None, layers=("a", "a", "b", "a", "c"), floats=1)
    contents = load(build(tmp_path, sample))
    found = grids.aligned(contents.exports["int8"].result, contents.sensitivities["int8"].result)
    assert [one and one.alone_sqnr_db for one in found] == [40.5, 39.5, 38.5, 37.5, None]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, ...]:
    sample = replace(SMALL, variants=("float32", f"int8{HOSTILE}"), speeds=(1.0, 2.0))
    return rows(load(build(tmp_path_factory.mktemp("table") / "hostile", sample)))


def test_a_name_cannot_leave_its_markdown_cell(hostile: tuple[Row, ...]) -> None:
    text = table.to_markdown(hostile, "title")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(hostile)
    for line in lines:
        bare = line.replace("\\\\", "").replace("\\|", "")
        assert bare.count("|") == len(table.columns(hostile)) + 1
    assert "\\<script\\>" in text
    assert "<script>" not in text.replace("\\<", "")


def terminal(lines: tuple[Row, ...], width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system="truecolor")
    console.print(table.to_rich(lines, f"title {printable(HOSTILE)}"))
    return out.getvalue()


def test_a_name_cannot_steer_the_terminal(hostile: tuple[Row, ...]) -> None:
    text = terminal(hostile, 200)
    assert printable(HOSTILE) in text
    assert "\x1b[31m" not in text  # neither the name's own code nor [red]


def test_many_variants_stay_readable_in_80_columns(tmp_path: Path) -> None:
    names = ("float32", *(f"int8-{place}" for place in range(8)))
    sample = replace(SMALL, samples=6, variants=names, speeds=(1.0,) * 9)
    text = terminal(rows(load(build(tmp_path, sample))), 80)
    for name in names:
        assert name in text
    assert "91.25 %" in text
    assert text.count("latency p50") == 3
