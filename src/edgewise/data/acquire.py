"""Getting a data set: sources in turn, every file checked, each placed whole or not at all."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise import store
from edgewise.data.archives import writing
from edgewise.data.sources import Source
from edgewise.errors import DataError, FetchError, StorageError
from edgewise.progress import Progress, silent

RECORD = "fetched.json"

_SCHEMA = "edgewise-fetched/1"


@dataclass(frozen=True)
class File:
    """A file of a data set as it lies on disk.

    sha256: of the published file; None where only the archive around it has a published hash: then
    the hashes of what was unpacked from it are recorded, and hold from then on.
    """

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Route:
    """A source, and how the files of the data set are made of what it brings.

    unpack: takes the folder that the source filled and the folder for the files; raises DataError.
    """

    source: Source
    unpack: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Made:
    """Files that this machine makes of those that were fetched.

    needs: data sets that must lie beside; make: takes the folder of the set, leaves alone what
    holds, and raises DataError.
    """

    files: tuple[File, ...]
    needs: tuple[str, ...]
    make: Callable[[Path, Progress], None]


@dataclass(frozen=True)
class Wanted:
    """A data set that can be fetched: its files, and the routes in the order they are tried."""

    name: str
    files: tuple[File, ...]
    routes: tuple[Route, ...]
    made: Made | None = None

    @property
    def all_files(self) -> tuple[File, ...]:
        """Those that were fetched and those that were made of them."""
        return self.files if self.made is None else self.files + self.made.files


def is_here(wanted: Wanted, root: Path) -> bool:
    """Whether all files lie there in their full size: a glance, not a check."""
    folder = root / wanted.name
    return all(_size(folder / file.name) == file.size_bytes for file in wanted.all_files)


def record(wanted: Wanted, root: Path) -> dict[str, Any]:
    """What was recorded when the set was fetched; empty where nothing was, or not by us."""
    try:
        stored = store.read_json(root / wanted.name / RECORD)
    except StorageError:
        return {}
    return stored if isinstance(stored, dict) and stored.get("schema") == _SCHEMA else {}


def fetch_set(wanted: Wanted, root: Path, progress: Progress = silent) -> Path:
    """The folder of a data set, fetched unless its files are there and their hashes hold.

    A run that was killed is gone on with. Raises FetchError, with every source tried and why it
    did not do, and StorageError when the disk is full or the folder cannot be written.
    """
    folder = root / wanted.name
    with _alone(root):
        if not _holds(wanted, root):
            _from_sources(wanted, folder, progress)
        if wanted.made is not None:
            wanted.made.make(folder, progress)
        store.remove_folder(_workspace(folder))
    return folder


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One fetch at a time in a folder: a second one waits, and finds what the first brought."""
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _workspace(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.fetch")


def _from_sources(wanted: Wanted, folder: Path, progress: Progress) -> None:
    workspace = _workspace(folder)
    tried: list[dict[str, str]] = []
    try:
        for number, route in enumerate(wanted.routes):
            kept = workspace / (f"kept-{number}" if route.source.resumes else "work/brought")
            try:
                hashes = _attempt(wanted, route, (kept, workspace / "work/files"), progress)
            except DataError as error:
                tried.append({"source": str(route.source), "reason": str(error)})
                continue
            made = workspace / "work/files"
            how = {"source": str(route.source), "tried": tried, "files": hashes}
            store.write_json(made / RECORD, {"schema": _SCHEMA, "data": wanted.name, **how})
            # The record goes first: whoever stops between has files to fetch, never files without.
            _publish(made, folder, [RECORD, *hashes])
            return
        raise _none_did(wanted, folder, tried)
    except StorageError:
        store.remove_folder(workspace)
        raise
    finally:
        _tidy(workspace)


def _attempt(
    wanted: Wanted, route: Route, folders: tuple[Path, Path], progress: Progress
) -> dict[str, str]:
    """Files made and checked in the second folder; the hash of each.

    What was gone on with may have been damaged by what stopped it: it gets one fresh start.
    """
    brought, files = folders
    resumed = route.source.resumes and brought.is_dir()
    if not route.source.resumes:
        store.remove_folder(brought)
    try:
        return _once(wanted, route, folders, progress)
    except FetchError:
        raise
    except DataError:
        store.remove_folder(brought)
        if not resumed:
            raise
    return _once(wanted, route, (brought, files), progress)


def _once(
    wanted: Wanted, route: Route, folders: tuple[Path, Path], progress: Progress
) -> dict[str, str]:
    brought, files = folders
    store.remove_folder(files)
    for folder in folders:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    route.source.bring(brought, progress)
    progress(f"unpack {wanted.name}", 0, 1)
    route.unpack(brought, files)
    hashes = {file.name: check(files / file.name, file) for file in wanted.files}
    progress(f"unpack {wanted.name}", 1, 1)
    return hashes


def check(path: Path, file: File) -> str:
    """The hash of a file; raises DataError when it is not the published one."""
    if _size(path) != file.size_bytes:
        raise DataError(f"{file.name} has {max(0, _size(path))} bytes, not {file.size_bytes}")
    try:
        found = store.digest_file(path)
    except StorageError as error:
        raise DataError(f"{file.name}: {error}") from error
    if file.sha256 is not None and found != file.sha256:
        raise DataError(f"{file.name} has the SHA-256 {found}, not {file.sha256}")
    return found


def _holds(wanted: Wanted, root: Path) -> bool:
    """Whether every file is there with the hash that was published, or else recorded.

    Where there is neither, files put there by hand count by their size.
    """
    recorded = record(wanted, root).get("files")
    known = recorded if isinstance(recorded, dict) else {}
    for file in wanted.files:
        expected = file.sha256 or known.get(file.name)
        try:
            check(root / wanted.name / file.name, File(file.name, file.size_bytes, expected))
        except DataError:
            return False
    return True


def _publish(made: Path, folder: Path, names: Sequence[str]) -> None:
    """Move checked files to their place, each whole on disk before it has its name."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            with (made / name).open("rb+") as handle:
                os.fsync(handle.fileno())
            (made / name).replace(folder / name)


def _none_did(wanted: Wanted, folder: Path, tried: Sequence[dict[str, str]]) -> FetchError:
    reasons = "".join(f"\n  {each['source']}: {each['reason']}" for each in tried)
    names = ", ".join(file.name for file in wanted.files)
    return FetchError(
        f"{wanted.name} could not be fetched. Tried:{reasons}\n"
        f"Run the same command again where the network allows one of these, or put {names} into "
        f"{folder} by hand."
    )


def _tidy(workspace: Path) -> None:
    """Leave nothing but downloads that can be gone on with."""
    store.remove_folder(workspace / "work")
    for kept in sorted(workspace.glob("kept-*")):
        with suppress(OSError):
            kept.rmdir()
    with suppress(OSError):
        workspace.rmdir()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
