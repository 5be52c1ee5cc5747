"""Files out of gzip, tar and zip: only those asked for, only to where they were asked for.

Nothing is ever placed by a path from inside an archive, and nothing grows beyond what was said.
A fault in what is read is a DataError, a fault in what is written a StorageError.
"""

import gzip
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

from edgewise.errors import DataError, StorageError

_CHUNK = 1 << 20
_MALFORMED = (
    OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError,
    zlib.error, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into a StorageError about `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. Free some space or choose "
            "another folder, then run the same command again."
        ) from error


def spill(target: Path, chunks: Iterator[bytes]) -> None:
    """Write what the iterator gives to a new file."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as handle:
            for chunk in chunks:
                handle.write(chunk)


def gunzip(source: Path, target: Path, most_bytes: int) -> None:
    """Unpack a gzip file; raises DataError when it is damaged or unpacks to more than that."""
    spill(target, _chunks(partial(_gzip, source), source.name, most_bytes))


def _gzip(source: Path) -> IO[bytes]:
    if not source.stat().st_size:
        raise EOFError("it is empty")
    return cast(IO[bytes], gzip.GzipFile(source))


def unzip(source: Path, member: str, target: Path, most_bytes: int) -> None:
    """Unpack one member of a zip file."""
    try:
        archive = zipfile.ZipFile(source)
    except _MALFORMED as error:
        raise DataError(f"{source.name} is not a zip file: {error}") from error
    with archive:
        what = f"{member} in {source.name}"
        spill(target, _chunks(partial(archive.open, member), what, most_bytes))


def untar(source: Path, members: Mapping[str, Path], most_bytes: int) -> None:
    """Unpack members of a gzipped tar file, none larger than that, to the paths given for them."""
    missing = dict(members)
    try:
        # A stream is decompressed once, in whatever order the members lie; gzip's own reader
        # checks its sum, which tarfile's does not.
        with gzip.GzipFile(source) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                target = missing.pop(entry.name, None)
                if target is not None:
                    what = f"{entry.name} in {source.name}"
                    spill(target, _chunks(partial(_plain, archive, entry), what, most_bytes))
            while stream.read(_CHUNK):
                pass
    except _MALFORMED as error:
        raise DataError(f"{source.name} is damaged: {error}") from error
    if missing:
        raise DataError(f"{source.name} lacks {', '.join(missing)}")


def untar_matching(
    source: Path, pattern: re.Pattern[str], folder: Path, limits: tuple[int, int]
) -> int:
    """Unpack the members of a plain tar file whose whole name matches; returns how many.

    A name that matches is a path below `folder`, so the pattern must let no `..` and no leading
    `/` through. limits: the most bytes of one member, and the most members. Other members, and
    whatever is no plain file, are passed over.
    """
    found = 0
    try:
        with tarfile.open(source, mode="r:") as archive:
            for entry in archive:
                if not entry.isreg() or not pattern.fullmatch(entry.name):
                    continue
                found += 1
                if found > limits[1]:
                    raise DataError(f"{source.name} holds more than {limits[1]} files")
                what = f"{entry.name} in {source.name}"
                spill(
                    folder / entry.name, _chunks(partial(_plain, archive, entry), what, limits[0])
                )
    except _MALFORMED as error:
        raise DataError(f"{source.name} is damaged: {error}") from error
    return found


def _plain(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    """A plain file's content; a link could lead to any other file."""
    handle = archive.extractfile(entry) if entry.isreg() else None
    if handle is None:
        raise ValueError("it is not a plain file")
    return handle


def _chunks(start: Callable[[], IO[bytes]], what: str, most_bytes: int) -> Iterator[bytes]:
    seen = 0
    try:
        with start() as handle:
            while chunk := handle.read(_CHUNK):
                seen += len(chunk)
                if seen > most_bytes:
                    raise DataError(f"{what} unpacks to more than {most_bytes} bytes")
                yield chunk
    except _MALFORMED as error:
        raise DataError(f"{what} is damaged: {error}") from error
