"""A small data set, and sources that have it, or something else, or nothing."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from edgewise.data.acquire import File, Route, Wanted
from edgewise.data.archives import spill
from edgewise.data.sources import Http
from edgewise.progress import Progress

CONTENTS = {"a": np.random.default_rng(0).bytes(300_000), "b": b"small"}
HERE = {"odd", "odd/a", "odd/b", "odd/fetched.json"}


def files(contents: Mapping[str, bytes], pinned: bool = True) -> tuple[File, ...]:
    return tuple(
        File(name, len(content), hashlib.sha256(content).hexdigest() if pinned else None)
        for name, content in contents.items()
    )


def copied(brought: Path, made: Path) -> None:
    for path in brought.iterdir():
        spill(made / path.name, iter([path.read_bytes()]))


@dataclass(frozen=True)
class Shelf:
    """A source that has some files, or a reason why not."""

    name: str
    contents: Mapping[str, bytes] = field(default_factory=dict)
    error: BaseException | None = None
    then: Callable[[], None] = lambda: None
    resumes: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.name

    def bring(self, folder: Path, progress: Progress) -> None:
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
        self.then()
        if self.error is not None:
            raise self.error


def wanted(*sources: Shelf | Http, pinned: bool = True) -> Wanted:
    routes = tuple(Route(source, copied) for source in sources)
    return Wanted("odd", files(CONTENTS, pinned), routes)


def listing(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def check(root: Path) -> None:
    """All of the set is there, and nothing besides."""
    assert listing(root) == HERE
    for name, content in CONTENTS.items():
        assert (root / "odd" / name).read_bytes() == content
