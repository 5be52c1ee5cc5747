"""Files that are whole or absent, hashes of contents, and the one record schema."""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewise.errors import StorageError

SCHEMA = "edgewise/1"  # 1: first published form
PACKAGES = ("edgewise", "torch", "numpy", "onnx", "onnxruntime", "ai-edge-litert")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed onto `path`.

    The temporary name is fixed, so that a run that follows a killed one replaces what the killed
    one left behind. Raises StorageError when the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # where the folder is none, there is nothing to take back
            part.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} could not be written: {reason}. Nothing was changed there; "
            "free some space or choose another folder, then run the same command again."
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is afterwards whole or as it was before."""
    with atomic(path) as part:
        part.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically; NaN is refused because JSON has none."""
    # A path that is not UTF-8 reaches us as lone surrogates: JSON has an escape for them.
    write_bytes(path, _layout(value).encode(errors="backslashreplace") + b"\n")


def _layout(value: Any, indent: str = "") -> str:
    """JSON with an object's members on lines of their own and lists of numbers on one line."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    members = (f"{inner}{json.dumps(str(k))}: {_layout(v, inner)}" for k, v in value.items())
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def read_json(path: Path) -> Any:
    """Read JSON; raises StorageError when it is absent or malformed."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StorageError(f"{path} does not exist.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{path} is not readable JSON: {error}.") from error


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def digest(content: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content; raises StorageError when it cannot be read."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON form: sorted keys, no spaces."""
    return digest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def versions() -> dict[str, str]:
    """The versions that a result depends on, without importing the packages."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What kind of machine this is: facts that do not change from run to run."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


@dataclass(frozen=True)
class Record:
    """One result with everything needed to trust it: what was asked, with what, and where.

    kind: what the result is ("training", "export", "accuracy", "measurement", ...);
    request: the settings, seed included; inputs: name -> SHA-256; result: the figures.
    """

    kind: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    result: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The stored form; `digest` covers everything before it."""
        body = {
            "schema": SCHEMA,
            "kind": self.kind,
            "request": dict(self.request),
            "inputs": dict(self.inputs),
            "result": dict(self.result),
            "versions": versions(),
            "machine": machine(),
            "command": ["edgewise", *sys.argv[1:]],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        # As it will be read: tuples as lists, keys as text. The digest must hold for that form.
        try:
            body = json.loads(json.dumps(body, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise StorageError(f"a record of kind '{self.kind}' is not JSON: {error}.") from error
        return {**body, "digest": digest_json(body)}

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())


def read_record(path: Path) -> dict[str, Any]:
    """A stored record, its schema and digest checked; raises StorageError when they do not hold."""
    stored = read_json(path)
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise StorageError(f"{path} is not a record of schema {SCHEMA}.")
    body = {key: value for key, value in stored.items() if key != "digest"}
    if stored.get("digest") != digest_json(body):
        raise StorageError(f"{path} was changed after it was written: its digest does not hold.")
    return stored
