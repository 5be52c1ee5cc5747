"""What every device can do; it knows nothing of measuring."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewise.errors import DeviceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # needs no quotes in any shell
_SHOWN = 2000  # characters of a failed command's output, from its end


class Device(ABC):
    """A machine with a working folder of its own and a Python to run in it.

    url: how the user names it; names of files are plain (letters, digits, `.`, `_`, `-`) and mean
    entries of the working folder, which is empty at first and removed by `close`.
    """

    url: str

    @abstractmethod
    def put(self, source: Path, name: str) -> None:
        """Copy a file or a folder there, in place of what has that name."""

    @abstractmethod
    def run(self, arguments: Sequence[str], timeout_s: float) -> str:
        """What the device's Python prints to stdout when run with these arguments in the folder.

        Raises DeviceError with device, command and output when it fails, is killed or takes longer.
        """

    @abstractmethod
    def get(self, name: str, destination: Path) -> None:
        """Copy a file from there."""

    @abstractmethod
    def close(self) -> None:
        """Remove the working folder; the device is not used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def checked_name(name: str) -> str:
    """The name, when it is a plain one; raises DeviceError for a path or anything to quote."""
    if not _NAME.fullmatch(name):
        raise DeviceError(f"'{name}' is no name of a file on a device.")
    return name


def failure(url: str, command: Sequence[str], reason: str, output: str = "") -> DeviceError:
    """The one form of a device's error: where, what, why, and what it printed last."""
    shown = output.strip()[-_SHOWN:]
    said = f" It printed:\n{shown}" if shown else ""
    return DeviceError(f"{url}: `python {' '.join(command)}` {reason}.{said}")
