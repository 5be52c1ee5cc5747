from pathlib import Path

import pytest
from website import Site, serving

from edgewise.data.sdist import Sdist, find_link
from edgewise.errors import FetchError
from edgewise.progress import silent

FILE = "odd-data-1.2.tar.gz"
PAGE = f"""<!DOCTYPE html><html><body>
<a>odd</a><a href>odd</a><p href="{FILE}">
<a href="../../files/odd-data-1.1.tar.gz#sha256=00">odd-data-1.1.tar.gz</a>
<a href="../../files/other-{FILE}#sha256=00">other</a>
<a class="x" href="../../files/{FILE}#sha256=00" data-requires-python="&gt;=3">{FILE}</a><br/>
<a href="../../later/{FILE}">{FILE}</a>
"""


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def bring(folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch, most_bytes: int = 7) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.address}/simple")
    Sdist("odd-data", FILE, most_bytes).bring(folder, silent)


def test_the_archive_is_found_through_the_index_that_pip_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site({"simple/odd-data/": PAGE.encode(), f"files/{FILE}": b"archive"})
    with serving(site):
        bring(tmp_path, site, monkeypatch)
        assert [name for name, _ in site.asked] == ["simple/odd-data/", f"files/{FILE}"]
        assert (tmp_path / FILE).read_bytes() == b"archive"
        bring(tmp_path, site, monkeypatch)
    assert len(site.asked) == 2


def test_an_index_that_has_not_got_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = b"<a href='odd-data-1.3.tar.gz'>"
    with (
        serving(Site({"simple/odd-data/": page})) as site,
        pytest.raises(FetchError, match=rf"the package index lists no {FILE}"),
    ):
        bring(tmp_path, site, monkeypatch)
    with serving(Site({})) as site, pytest.raises(FetchError, match="answered 404"):
        bring(tmp_path, site, monkeypatch)


def test_an_archive_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site({"simple/odd-data/": PAGE.encode(), f"files/{FILE}": b"archive"})
    with serving(site), pytest.raises(FetchError, match="more than the 6 bytes"):
        bring(tmp_path, site, monkeypatch, 6)
    assert not (tmp_path / FILE).exists()


def test_an_index_cannot_lead_to_a_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text("secret")
    out = tmp_path / "out"
    out.mkdir()
    page = f"<a href='file://{tmp_path}/{FILE}'>".encode()
    with serving(Site({"simple/odd-data/": page})) as site, pytest.raises(FetchError):
        bring(out, site, monkeypatch)
    assert not (out / FILE).exists()


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("", None),
        ("<a href='#x'>", None),
        ("<a href='a/b%2D1.tgz?x=1#y'>", "a/b%2D1.tgz?x=1"),
        ("<A HREF=b-1.tgz>", "b-1.tgz"),
        ("<a href='b-1.tgz/'><a href='https://a.example/b-1.tgz'", None),
        ("<a href='https://a.example/b-1.tgz'>", "https://a.example/b-1.tgz"),
    ],
)
def test_links_of_a_page(page: str, link: str | None) -> None:
    assert find_link(page, "b-1.tgz") == link
