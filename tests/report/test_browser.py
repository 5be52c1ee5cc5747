"""The page in a real browser: what it asks for, what it complains about, and whether it fits."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from report_bundles import HOSTILE, Sample, build

from edgewise.report import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--allow-file-access-from-files", "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """dom: the page after loading; console: what it said; asked: the addresses it asked for."""

    dom: str
    console: list[str]
    asked: set[str]


def visit(path: Path, scratch: Path, width: int = 1280) -> Visit:
    assert CHROMIUM is not None
    log = scratch / "net.json"
    done = subprocess.run(
        [CHROMIUM, *_FLAGS, f"--log-net-log={log}", f"--window-size={width},900",
         f"--user-data-dir={scratch / 'profile'}", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return Visit(done.stdout, re.findall(r"CONSOLE.*", done.stderr), addresses(log))


def addresses(log: Path) -> set[str]:
    """What the page asked for, by the browser's own log; the browser's own wishes are none."""
    requests = [
        event["params"]
        for event in json.loads(log.read_text())["events"]
        if event.get("params", {}).get("initiator", "not an origin") != "not an origin"
    ]
    return {one["url"] for one in requests if not one["url"].startswith(("file:", "data:"))}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sample = Sample(
        model=HOSTILE * 3,
        data=HOSTILE,
        variants=("float32", "fp16", f"int8{HOSTILE}"),
        layers=(HOSTILE, "a", "very.long." * 12 + "conv"),
        samples=30,
    )
    return build(tmp_path_factory.mktemp("browser") / "bundle", sample)


def test_the_page_is_silent_and_asks_for_nothing(bundle: Path, tmp_path: Path) -> None:
    seen = visit(page.write(bundle), tmp_path)
    assert seen.console == []
    assert seen.asked == set()
    assert "Where every figure comes from" in seen.dom
    assert seen.dom.count("<svg") == 5
    assert "<script" not in seen.dom


def test_a_page_that_does_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><script>console.error('heard')</script>"
        "<img src='http://127.0.0.1:9/asked.png'>"
    )
    seen = visit(path, tmp_path)
    assert any("heard" in line for line in seen.console)
    assert seen.asked == {"http://127.0.0.1:9/asked.png"}


_FRAME = """<!DOCTYPE html><iframe src="{page}" style="width:{width}px;height:900px;border:0">
</iframe><p id="found"></p><script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentDocument;
  const wide = [...inner.querySelectorAll("main *")].filter(
    one => !one.closest(".scroll, svg") && one.getBoundingClientRect().right > {width});
  const small = [...inner.querySelectorAll("svg text")].map(
    one => one.getBoundingClientRect().height).filter(height => height > 0);
  document.getElementById("found").textContent = JSON.stringify({{
    width: inner.documentElement.scrollWidth, wide: wide.length,
    smallest: Math.min(...small)}});
}});
</script>"""


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_reaches_beyond_the_screen(bundle: Path, tmp_path: Path, width: int) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(_FRAME.format(page=page.write(bundle).as_uri(), width=width))
    seen = visit(frame, tmp_path, 1400)
    (found,) = re.findall(r'<p id="found">(.*?)</p>', seen.dom)
    measured = json.loads(found)
    assert measured["width"] == width
    assert measured["wide"] == 0
    assert measured["smallest"] >= 8  # pixels of a line of text in a plot


def test_an_evil_policy_would_be_noticed(bundle: Path, tmp_path: Path) -> None:
    """A style that the policy does not know is refused, and the browser says so."""
    text = page.render(bundle).replace("--page: #f6f7f9", "--page: #f6f7f8")
    path = tmp_path / "changed.html"
    path.write_text(text, encoding="utf-8")
    assert any("Content Security Policy" in line for line in visit(path, tmp_path).console)


def test_a_short_page_too(tmp_path: Path) -> None:
    sample = Sample(mode=None, labelled=False, variants=("float32",), speeds=(1.0,))
    seen = visit(page.write(build(tmp_path / "b", replace(sample, samples=6))), tmp_path)
    assert seen.console == []
    assert seen.asked == set()
