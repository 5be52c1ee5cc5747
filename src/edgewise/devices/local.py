"""This machine as a device: a fresh folder, fresh processes, and nothing of the host's Python."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import final

from edgewise.devices.device import Device, checked_name, failure
from edgewise.errors import DeviceError

# What a worker may import beside the standard library: a board has numpy and a runtime, no more.
_PACKAGES = ("numpy", "onnxruntime", "ai_edge_litert", "openvino")


@final
class LocalDevice(Device):
    """The machine that edgewise runs on, used as a board would be.

    Python starts without the site's packages and finds only numpy and the runtimes, through links
    in a folder, so that a worker which needs anything else fails here as it would on a board.
    """

    url = "local"

    def __init__(self) -> None:
        try:
            self._root = Path(tempfile.mkdtemp(prefix="edgewise-"))
        except OSError as error:
            raise DeviceError(f"local: no temporary folder can be made: {error}.") from error
        self._folder = self._root / "work"
        self._folder.mkdir()
        self._packages = self._root / "packages"
        self._packages.mkdir()
        _link_packages(self._packages)

    def put(self, source: Path, name: str) -> None:
        target = self._folder / checked_name(name)
        try:
            _remove(target)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        except OSError as error:
            raise DeviceError(f"local: {source} cannot be copied there: {error}.") from error

    def run(self, arguments: Sequence[str], timeout_s: float) -> str:
        process = subprocess.Popen(
            # -S: no site-packages, -s: no user's packages, -B: no bytecode left in the folder
            [sys.executable, "-S", "-s", "-B", *arguments],
            cwd=self._folder,
            env={
                "PATH": os.defpath,
                "LANG": "C.UTF-8",
                "TMPDIR": str(self._root),
                "PYTHONPATH": str(self._packages),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, so that all of it can be ended
        )
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            out, err = _end(process)
            reason = f"took longer than {timeout_s:.0f} s and was stopped"
            raise failure(self.url, arguments, reason, out + err) from error
        except BaseException:  # Ctrl-C above all: no worker stays behind
            _end(process)
            raise
        if process.returncode:
            raise failure(self.url, arguments, _ending(process.returncode), out + err)
        return out

    def get(self, name: str, destination: Path) -> None:
        try:
            shutil.copyfile(self._folder / checked_name(name), destination)
        except OSError as error:
            raise DeviceError(f"local: {name} cannot be fetched: {error}.") from error

    def close(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


def _link_packages(folder: Path) -> None:
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue
        package = Path(spec.origin).parent
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (folder / part.name).symlink_to(part, target_is_directory=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Kill the process and what it started; what it had printed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    out, err = process.communicate()
    return out, err


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", as a system does that is out of memory" if name == "SIGKILL" else ""
    return f"was ended by signal {name}{hint}"
