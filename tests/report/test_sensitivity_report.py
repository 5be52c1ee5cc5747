import io
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from report_bundles import HOSTILE
from rich.console import Console

from edgewise.errors import StorageError, UsageError
from edgewise.report import panels, sensitivity
from edgewise.report.parse import printable
from edgewise.report.sensitivity import Change, Part, Ranking, Sample
from edgewise.stats import Interval


def change(loss: float) -> Change:
    return Change(Interval(loss, loss - 0.01, loss + 0.01), 0.005, Interval(-0.0125, -0.02, 0), 0.9)


def part(name: str, loss: float) -> Part:
    return Part(name, "body", 100, change(loss), 20.0, 15.0, 1.5e-4)


RANKING = Ranking(
    by="layer", data="shapes", stand_in_for=None, weight_bits=4, activation_bits=8,
    loss="cross-entropy", float_loss=0.25, measured_on=Sample("validation", 64),
    cheap_on=Sample("calibration", 64),
    parts=(part("first", 0.02), part("second", -0.001), part("third", 0.3)), whole=change(0.5),
    rank_correlation={"SQNR": Interval(0.4, 0.1, 0.6), "FIT": None},
    warnings=("SQNR ranks badly here.",),
)  # fmt: skip


def shown(ranking: Ranking, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(sensitivity.to_rich(ranking, "net"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def as_stored(ranking: Ranking) -> dict[str, object]:
    stored = asdict(ranking)
    return {**stored, "parts": list(stored["parts"]), "warnings": list(stored["warnings"])}


def test_a_stored_ranking_is_read_back_and_another_thing_refused() -> None:
    assert sensitivity.read(as_stored(RANKING), "it") == RANKING
    with pytest.raises(StorageError, match="it lacks 'by'"):
        sensitivity.read({}, "it")


def test_the_most_sensitive_is_on_top_and_the_network_below() -> None:
    text = shown(RANKING)
    places = [text.index(name) for name in ("third", "first", "second", "all together")]
    assert places == sorted(places)
    (line,) = (line for line in text.splitlines() if "third" in line)
    assert line.split() == [
        "third", "+0.300", "+0.290", "to", "+0.310", "−1.25", "90.0", "%", "20.0", "15.0",
        "1.5e-04",
    ]  # fmt: skip
    assert "4-bit weights, 8-bit activations" in text
    assert "rho 0.40 (0.10 to 0.60)" in text
    assert "Warning: SQNR ranks badly here." in text
    assert "64 images of split validation" in " ".join(text.split())


@pytest.mark.parametrize("loss", [3e-6, 0.02, 41.0, 0.0])
def test_figures_of_any_size_fit_a_terminal_of_eighty_and_keep_their_digits(loss: float) -> None:
    names = ("features.40", "backbone.stages.2.blocks.11.conv1", "third")
    text = shown(replace(RANKING, parts=tuple(part(name, loss) for name in names)))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "features.40" in text
    assert "…" not in text
    if loss:
        (line,) = (line for line in text.splitlines() if "features.40" in line)
        assert float(line.split()[1]) == pytest.approx(loss, rel=0.05)


def test_without_labels_there_is_no_accuracy_and_stand_ins_are_named() -> None:
    unlabelled = tuple(
        replace(one, change=replace(one.change, accuracy=None)) for one in RANKING.parts
    )
    ranking = replace(RANKING, parts=unlabelled, stand_in_for="cifar10")
    (line,) = (line for line in shown(ranking).splitlines() if "third" in line)
    assert "–" in line.split()
    assert "shapes (stand-in)" in shown(ranking)


def test_names_steer_nothing() -> None:
    ranking = sensitivity.read(
        {**as_stored(RANKING), "data": "[bold]\x1b[31m", "by": "layer"}, "it"
    )
    text = shown(replace(ranking, parts=(part("[red]a[/red]", 0.1),) * 3))
    assert "\x1b" not in text
    assert "[red]a[/red]" in text
    assert "[bold]" in text


def test_three_panels_say_what_they_show_in_which_unit() -> None:
    svg = panels.sensitivity("svg", RANKING, "net")
    root = ElementTree.fromstring(svg)
    texts = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    said = " ".join(texts)
    for label in ("loss increase, nats", "95 % interval", "dB", "FIT", "net on shapes"):
        assert label in said
    assert [one for one in texts if one in ("first", "second", "third")] == [
        "first", "second", "third",
    ]  # fmt: skip
    assert panels.sensitivity("svg", RANKING, "net") == svg


def test_a_picture_grows_with_the_layers() -> None:
    heights = []
    for count in (3, 30):
        parts = tuple(part(f"layer.{place}", 0.1) for place in range(count))
        content = panels.sensitivity("png", replace(RANKING, parts=parts), "net")
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG"
            heights.append(image.height)
    assert heights[1] > 2 * heights[0]


def test_hostile_names_are_text_in_a_plot() -> None:
    parts = (part(printable(HOSTILE), 0.1), part("$x^2$", 0.2))
    ElementTree.fromstring(panels.sensitivity("svg", replace(RANKING, parts=parts), HOSTILE))


def test_the_name_says_the_format() -> None:
    assert panels.kind_of(Path("a/b.SVG")) == "svg"
    assert panels.kind_of(Path("b.png")) == "png"
    with pytest.raises(UsageError, match="'b.pdf'"):
        panels.kind_of(Path("b.pdf"))
