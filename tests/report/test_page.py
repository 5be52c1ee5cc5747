import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_bundles import HOSTILE, Sample, build, edit_manifest

from edgewise import store
from edgewise.bundle import read_bundle, verify_hashes
from edgewise.report import page
from edgewise.report.parse import printable

SMALL = Sample(samples=30)
_VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements in order, whether they close, and what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


def rendered(folder: Path, sample: Sample) -> tuple[str, Page]:
    text = page.render(build(folder, sample))
    return text, Page(text)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("page") / "bundle", SMALL)


@pytest.fixture(scope="module")
def text(bundle: Path) -> str:
    return page.render(bundle)


@pytest.fixture(scope="module")
def parsed(text: str) -> Page:
    return Page(text)


def test_the_page_is_whole(parsed: Page) -> None:
    assert parsed.open == []
    tags = {tag for tag, _ in parsed.elements}
    assert {"html", "head", "title", "main", "h1", "table", "svg", "figcaption"} <= tags
    ids = parsed.attributes("id")
    assert len(set(ids)) == len(ids)


def test_nothing_is_loaded(text: str, parsed: Page) -> None:
    assert "http:" not in text
    assert "https:" not in text
    tags = [tag for tag, _ in parsed.elements]
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(tags)
    assert parsed.attributes("src") == []
    assert not [name for _, attrs in parsed.elements for name in attrs if name.startswith("on")]
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_every_link_leads_somewhere_on_the_page(parsed: Page) -> None:
    ids = set(parsed.attributes("id"))
    links = parsed.attributes("href")
    assert len(links) > 30
    assert {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= ids


def test_the_policy_allows_this_style_and_nothing_else(text: str, parsed: Page) -> None:
    (policy,) = (
        attrs["content"] or ""
        for tag, attrs in parsed.elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src-elem 'sha256-{digest}'",
        "style-src-attr 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_figures_are_those_of_the_records(bundle: Path, parsed: Page) -> None:
    accuracy = store.read_record(bundle / "records/accuracy.json")["result"]["variants"][2]
    assert f"{100 * accuracy['artifact']['value']:.2f} %" in parsed.words
    result = store.read_record(bundle / "records/measurement.json")["result"]
    p50 = result["measurements"][2]["statistics"]["p50_s"]
    assert f"{1e3 * p50['value']:.2f} ms" in parsed.words
    assert f"{1e3 * p50['low']:.2f} to {1e3 * p50['high']:.2f}" in parsed.words
    assert "QLinearConv" in parsed.words
    assert "10 of 3,200 values differ in 5 tensors on 8 images" in parsed.words


def test_every_record_is_listed_with_its_digest(bundle: Path, parsed: Page) -> None:
    for path in bundle.glob("records/*.json"):
        assert path.relative_to(bundle).as_posix() in parsed.words
        assert store.read_json(path)["digest"][:12] in parsed.words
    manifest = store.read_json(bundle / "manifest.json")
    assert manifest["model"]["weights"] in parsed.words
    for digest in manifest["data"]["digests"].values():
        assert digest in parsed.words
    for variant in manifest["variants"]:
        assert variant["digest"] in parsed.words


def test_every_cell_with_a_figure_names_its_record(text: str) -> None:
    (main,) = re.findall(r'aria-label="Results">\n<table>(.*?)</table>', text, re.DOTALL)
    head, body = main.split("<tbody>")
    marked = ["#record-" in heading for heading in head.split("<th ")[1:]]
    rows = [row.split("<td")[1:] for row in body.split("<tr>")[1:]]
    assert len(rows) == 3
    for row in rows:
        assert len(row) == len(marked) - 1
        for cell, by_heading in zip(row, marked[1:], strict=True):
            assert by_heading or "#record-" in cell or 'class="gone"' in cell


def test_limits_are_said_before_the_figures(tmp_path: Path) -> None:
    _, shown = rendered(tmp_path, replace(SMALL, stand_in_for="cifar10", device="local"))
    for said in (
        "shapes (stand-in for cifar10)",
        "Stand-in data. shapes stands in for cifar10.",
        "Quick measurement.",
        "Measured on the host.",
    ):
        assert shown.words.index(said) < shown.words.index("Results")


def test_a_full_measurement_is_not_called_quick(tmp_path: Path) -> None:
    _, shown = rendered(tmp_path, replace(SMALL, mode="full"))
    assert "quick" not in shown.words.lower()
    assert "full: at least" in shown.words


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    _, shown = rendered(tmp_path, replace(SMALL, mode=None))
    assert "Not measured. Latency, memory and CPU were not measured." in shown.words
    assert "median latency" not in shown.words
    assert "Its speed was not measured." in shown.words


def test_an_emulated_device_shows_no_time(tmp_path: Path) -> None:
    text, shown = rendered(tmp_path, replace(SMALL, device="emulated://raspberry-pi-4"))
    assert "Emulated device. emulated://raspberry-pi-4 proves what is computed" in shown.words
    assert " ms" not in text
    assert "µs" not in text


def test_without_labels_agreement_is_shown(tmp_path: Path) -> None:
    _, shown = rendered(tmp_path, replace(SMALL, labelled=False))
    assert "it gives the float network's answer on 99.60 % of 10,000 images." in shown.words
    assert "No labels." in shown.words
    assert "loses accuracy" not in shown.words


def test_a_baseline_alone_is_a_page_too(tmp_path: Path) -> None:
    _, shown = rendered(tmp_path, replace(SMALL, variants=("float32",), speeds=(1.0,)))
    assert "net, not compressed: the baseline alone." in shown.words


def test_why_a_variant_is_not_faster_is_said(parsed: Page) -> None:
    assert "Half precision halves the file and not the time" in parsed.words
    assert "Only 60.0 % of the MACs run on integers; in float: head (Conv)." in parsed.words


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    sample = replace(
        SMALL,
        model=HOSTILE,
        data=HOSTILE,
        stand_in_for=HOSTILE,
        variants=("float32", f"int8{HOSTILE}"),
        speeds=(1.0, 2.0),
        layers=(HOSTILE, f"b.{HOSTILE}", "c"),
        device=f"ssh://{HOSTILE}",
    )
    folder = build(tmp_path_factory.mktemp("page") / "hostile", sample)

    def change(manifest: dict[str, object]) -> None:
        manifest["variants"][1]["recipe"] = {"steps": [{"step": HOSTILE, HOSTILE: [HOSTILE]}]}  # type: ignore[index]

    edit_manifest(folder, change)
    text = page.render(folder)
    return text, Page(text)


def test_names_are_text_wherever_they_stand(hostile: tuple[str, Page]) -> None:
    text, shown = hostile
    assert shown.open == []
    assert "script" not in {tag for tag, _ in shown.elements}
    assert "<script" not in text
    assert "\x1b" not in text
    assert shown.words.count(printable(HOSTILE)) > 10
    assert "{{ 7*7 }}" in shown.words  # never evaluated
    assert not [name for _, attrs in shown.elements for name in attrs if name.startswith("on")]


def test_names_cannot_leave_their_attributes(hostile: tuple[str, Page], parsed: Page) -> None:
    known = {(tag, name) for tag, attrs in parsed.elements for name in attrs}
    assert {(tag, name) for tag, attrs in hostile[1].elements for name in attrs} <= known | {
        ("th", "title")
    }


def test_the_page_does_not_disturb_the_bundle(tmp_path: Path) -> None:
    folder = build(tmp_path, SMALL)
    path = page.write(folder)
    assert path == folder / "report.html"
    assert path.read_text(encoding="utf-8") == page.render(folder)
    verify_hashes(read_bundle(folder))


_ALONE = """
import hashlib, sys
from pathlib import Path
from edgewise.report import page
print(hashlib.sha256(page.render(Path(sys.argv[1])).encode()).hexdigest())
heavy = {"torch", "onnx", "onnxruntime", "edgewise.measure", "matplotlib.pyplot"}
print(sorted(heavy & set(sys.modules)))
"""


def test_another_process_gives_the_same_page_without_torch(bundle: Path, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == [hashlib.sha256(text.encode()).hexdigest(), "[]"]
