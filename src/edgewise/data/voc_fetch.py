"""The archives of PASCAL VOC 2007 and 2012, and how a devkit is unpacked from them."""

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from edgewise import store
from edgewise.data.acquire import File
from edgewise.data.archives import untar_matching, writing
from edgewise.data.sources import Http, Together
from edgewise.errors import DataError
from edgewise.progress import Progress, silent

# Published sums of these archives are MD5; the SHA-256 of what came is recorded and holds after.
SUMS: Mapping[str, tuple[str, int, str]] = {
    "VOCtrainval_06-Nov-2007.tar": ("voc2007", 460_032_000, "c52e279531787c972589f7e41ab4ae64"),
    "VOCtest_06-Nov-2007.tar": ("voc2007", 451_020_800, "b6e924de25625d8de591ea690078ad9f"),
    "VOCtrainval_11-May-2012.tar": ("voc2012", 1_999_639_040, "6cd6e144f989b92b3379bac3b3de84fd"),
}
FILES = tuple(File(name, size, None) for name, (_, size, _) in SUMS.items())

_ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC"
_WANTED = re.compile(
    r"VOCdevkit/VOC20(07|12)/"
    r"(Annotations/[A-Za-z0-9_-]+\.xml|JPEGImages/[A-Za-z0-9_-]+\.jpg"
    r"|ImageSets/Main/[A-Za-z0-9_-]+\.txt)"
)
_LIMITS = (16 << 20, 60_000)  # bytes of a file, files of an archive


def _http(year: str) -> Http:
    files = {name: size for name, (place, size, _) in SUMS.items() if place == year}
    return Http(f"{_ADDRESS}/{year}", files)


SOURCE = Together(tuple((year, _http(year)) for year in ("voc2007", "voc2012")))


def unpack(brought: Path, files: Path) -> None:
    """Check the archives and put them where the set keeps them; raises DataError."""
    for name, (year, _, expected) in SUMS.items():
        found = _md5(brought / year / name)
        if found != expected:
            raise DataError(f"{name} has the MD5 sum {found}, not {expected}")
    for name, (year, _, _) in SUMS.items():
        with writing(files / name):
            (brought / year / name).replace(files / name)


def make(folder: Path, progress: Progress = silent) -> None:
    """Unpack the devkit of archives in `folder`, whole or not at all, unless it is there.

    Nothing but annotations, pictures and image sets is taken. Raises DataError.
    """
    devkit = folder / "VOCdevkit"
    if devkit.is_dir():
        return
    part = folder / ".VOCdevkit.part"
    store.remove_folder(part)
    for index, name in enumerate(SUMS):
        progress("unpack voc", index, len(SUMS))
        if not untar_matching(folder / name, _WANTED, part, _LIMITS):
            store.remove_folder(part)
            raise DataError(f"{name} holds no VOCdevkit; remove it and fetch voc again.")
    progress("unpack voc", len(SUMS), len(SUMS))
    with writing(devkit):
        (part / "VOCdevkit").replace(devkit)
        part.rmdir()


def _md5(file: Path) -> str:
    """The MD5 sum of a file: against a damaged download, not against an enemy."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(
                handle, partial(hashlib.md5, usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error.strerror}") from error
