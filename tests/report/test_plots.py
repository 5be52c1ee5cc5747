import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from report_bundles import HOSTILE, Sample, build

from edgewise.report import distribution, layers, plot, scatter
from edgewise.report.contents import Contents, load
from edgewise.report.parse import printable
from edgewise.report.rows import rows
from edgewise.report.schema import Execution, LayerSensitivity
from edgewise.stats import Interval

NAME = printable(HOSTILE)
SMALL = Sample(samples=30)


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter("text")]


def all_plots(contents: Contents) -> list[str]:
    table = rows(contents)
    noise = contents.sensitivities[table[-1].variant.name].result.layers
    executed = contents.exports[table[-1].variant.name].result.executions
    drawn = [
        scatter.accuracy_by_size(contents, table),
        scatter.accuracy_by_latency(contents, table),
        distribution.latency_distributions(contents, table),
        layers.sensitivity("sensitivity", "int8", noise),
        layers.executions("executions", "int8", executed),
    ]
    return [svg for svg in drawn if svg is not None]


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return load(build(tmp_path_factory.mktemp("plots"), SMALL))


@pytest.fixture(scope="module")
def drawn(contents: Contents) -> list[str]:
    return all_plots(contents)


def test_the_same_results_give_the_same_text(contents: Contents, drawn: list[str]) -> None:
    assert all_plots(contents) == drawn


def test_a_plot_brings_everything_and_fetches_nothing(drawn: list[str]) -> None:
    assert len(drawn) == 5
    seen: set[str] = set()
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert "http" not in svg
        assert {one.tag for one in root.iter()} <= {
            "svg", "g", "defs", "path", "use", "text", "clipPath", "rect", "pattern"
        }  # fmt: skip
        ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
        assert len(set(ids)) == len(ids)
        assert not seen & set(ids)  # all plots share one page
        seen |= set(ids)
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(ids)
        assert set(re.findall(r'href="#([^"]+)"', svg)) <= set(ids)
        assert re.findall(r'href="(?!#)', svg) == []


def test_every_colour_follows_the_page(drawn: list[str]) -> None:
    for svg in drawn:
        assert set(re.findall(r"#[0-9a-f]{6}", svg)) == set()
        used = set(re.findall(r"var\((--[a-z0-9-]+)\)", svg))
        assert used <= set(plot.VARIABLES.values())
        assert "--ink" in used


def test_axes_say_what_and_in_which_unit(drawn: list[str]) -> None:
    by_size, by_latency, spread, noise, executed = (" ".join(texts(svg)) for svg in drawn)
    assert "accuracy, %" in by_size
    assert "file size, MB" in by_size
    assert "median latency, ms (quick measurement)" in by_latency
    assert "one inference, ms (quick measurement)" in spread
    assert "SQNR at the layer's output, dB" in noise
    assert "MACs of one inference, millions" in executed
    for svg in drawn:
        assert ElementTree.fromstring(svg).attrib["aria-label"]


def test_stand_in_data_are_named_in_the_plot(tmp_path: Path) -> None:
    contents = load(build(tmp_path, replace(SMALL, stand_in_for="cifar10")))
    svg = scatter.accuracy_by_size(contents, rows(contents))
    assert svg is not None
    assert "on shapes (stand-in)" in texts(svg)


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    sample = replace(
        SMALL,
        data=HOSTILE,
        variants=("float32", f"int8{HOSTILE}"),
        speeds=(1.0, 2.0),
        layers=(HOSTILE, f"second {HOSTILE}", "third"),
    )
    contents = load(build(tmp_path, sample))
    for svg in all_plots(contents):
        assert "<script" not in svg
        ElementTree.fromstring(svg)
    noise = contents.sensitivities[f"int8{NAME}"].result.layers
    named = layers.sensitivity("s", NAME, noise)
    assert named is not None
    assert plot.elide(NAME, 28) in texts(named)
    assert (
        ElementTree.fromstring(named)
        .attrib["aria-label"]
        .startswith(f"sensitivity of the layers of {NAME}")
    )


def test_dollars_are_no_formulas() -> None:
    def paint(axes: Axes) -> None:
        axes.set_xlabel("$x^2$ and \\alpha 汉字")

    assert "$x^2$ and \\alpha 汉字" in texts(plot.draw("a", "b", 2, paint))


def test_drawing_leaves_the_settings_of_others_alone(contents: Contents) -> None:
    with matplotlib.rc_context({"font.size": 3.5, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        mine = scatter.accuracy_by_size(contents, rows(contents))
        assert dict(matplotlib.rcParams) == before
    assert mine == scatter.accuracy_by_size(contents, rows(contents))


def test_without_measurement_there_is_nothing_to_draw(tmp_path: Path) -> None:
    contents = load(build(tmp_path, replace(SMALL, mode=None, labelled=False)))
    table = rows(contents)
    assert scatter.accuracy_by_latency(contents, table) is None
    assert distribution.latency_distributions(contents, table) is None
    by_size = scatter.accuracy_by_size(contents, table)
    assert by_size is not None
    assert "agreement with float, %" in texts(by_size)


def test_sixty_layers_have_sixty_names() -> None:
    names = [f"stages.{place // 8}.blocks.{place % 8}.conv" for place in range(60)]
    noise = [LayerSensitivity(name, "", 1, 1, 40.0, 30.0) for name in names]
    svg = layers.sensitivity("s", "int8", noise)
    assert svg is not None
    shown = texts(svg)
    assert [one for one in shown if one in names] == names
    *_, height = ElementTree.fromstring(svg).attrib["viewBox"].split()
    assert float(height) / 60 > 12  # units a line, at 9 a letter


def test_layers_are_told_apart_by_more_than_colour() -> None:
    executed = [
        Execution("a", "QLinearConv", 10, True, True),
        Execution("b", "Conv", 20, False, False),
        Execution("c", "Conv", 30, False, True),
    ]
    svg = layers.executions("e", "int8", executed)
    assert svg is not None
    shown = texts(svg)
    assert {"on integers", "in float, as meant", "in float, integers meant"} <= set(shown)
    assert svg.count("<pattern") == 2  # two hatches; integers are plain


def test_regions_stand_beside_their_layers() -> None:
    noise = [LayerSensitivity(f"{region}.x", region, 1, 1, 40.0, 30.0) for region in "aab"]
    svg = layers.sensitivity("s", "int8", noise)
    assert svg is not None
    assert {"a", "b"} <= set(texts(svg))


_FIGURES = st.floats(0.1, 100).map(lambda value: Interval(value, value, value))
_POINTS = st.lists(st.tuples(_FIGURES, _FIGURES), min_size=2, max_size=6)


def boxes(svg: str, names: list[str]) -> list[tuple[float, float, float, float]]:
    """Where names stand, judged by hand: 5 units a letter, 8 high."""
    found = []
    for one in ElementTree.fromstring(svg).iter("text"):
        text = "".join(one.itertext())
        if text in names:
            width = 5.0 * len(text)
            x, y = float(one.attrib["x"]), float(one.attrib["y"])
            left = x - width if "end" in one.attrib["style"] else x
            found.append((left, y - 8, left + width, y))
    return found


@settings(max_examples=15, deadline=None)
@given(_POINTS)
def test_names_of_points_never_overlap(values: list[tuple[Interval, Interval]]) -> None:
    names = [f"variant-{place}" for place in range(len(values))]
    points = [
        scatter.Point(name, place, x, y)
        for place, (name, (x, y)) in enumerate(zip(names, values, strict=True))
    ]
    svg = scatter.draw_points("n", "t", points, "x", "y")
    assert svg is not None
    found = boxes(svg, names)
    assert len(found) == len(names)
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            apart = (
                one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            )
            assert apart


@given(st.text(max_size=60), st.integers(2, 40))
def test_a_name_is_cut_in_its_middle(text: str, most: int) -> None:
    short = plot.elide(text, most)
    assert len(short) <= most or short == text
    if len(text) > most:
        head, _, tail = short.partition("…") if "…" not in text else (short[:0], "", short[:0])
        assert text.startswith(head)
        assert text.endswith(tail)
    else:
        assert short == text
