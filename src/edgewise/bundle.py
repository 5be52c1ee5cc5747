"""A bundle: artifacts, records and raw samples in one folder, with a manifest of hashes."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise import store
from edgewise.errors import StorageError, UsageError, VerificationError

MANIFEST = "manifest.json"
_DERIVED = {MANIFEST, "report.html"}  # not listed in the manifest: written from what is


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: its folder and its parsed manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    def record(self, path: str) -> dict[str, Any]:
        """A record of the bundle, by the path in the manifest."""
        return store.read_record(self.folder / path)


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder; raises StorageError when there is none."""
    if not (folder / MANIFEST).is_file():
        raise StorageError(
            f"{folder} holds no bundle (no {MANIFEST}); `edgewise compress ... -o {folder}` "
            "makes one."
        )
    manifest = store.read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != "bundle":
        raise StorageError(f"{folder / MANIFEST} is not a bundle's manifest.")
    if manifest.get("schema") != store.SCHEMA:
        raise StorageError(
            f"{folder} is a bundle of schema {manifest.get('schema')}; this version reads "
            f"{store.SCHEMA}."
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise StorageError(f"{folder / MANIFEST} lists no files; it was changed.")
    return Bundle(folder, manifest)


def _is_bundle(folder: Path) -> bool:
    """Whether a folder may be replaced: its manifest is ours, and nothing else lies there."""
    try:
        return set(_files(folder)) <= set(read_bundle(folder).manifest["files"])
    except StorageError:
        return False


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not _is_bundle(folder):
        raise UsageError(f"{folder} holds other files; give a new folder, or empty it.")


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `folder`, which takes its place when the work is whole.

    A killed run leaves only the hidden folder, which the next run starts anew. Raises UsageError
    when `folder` holds something that is not a bundle.
    """
    folder = folder.resolve()
    if Path.cwd().is_relative_to(folder):
        raise UsageError(f"{folder} is where the command runs; give a new folder inside it.")
    part, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    if old.is_dir() and not folder.exists():  # a run was killed between the two renames below
        old.rename(folder)
    _refuse_foreign(folder)
    store.remove_folder(part)
    store.remove_folder(old)
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be written: {error.strerror or error}; free some space or choose "
            "another folder, then run the same command again."
        ) from error
    finally:
        store.remove_folder(part)
        store.remove_folder(old)


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest, with the hash of every file in the folder."""
    files = {name: store.digest_file(folder / name) for name in _files(folder)}
    body = {"schema": store.SCHEMA, "kind": "bundle", **content, "files": files}
    store.write_json(folder / MANIFEST, body)


def verify_hashes(bundle: Bundle) -> list[str]:
    """The names of the files that were checked.

    Raises VerificationError, naming every file that is missing, changed or not in the manifest.
    """
    listed: Mapping[str, str] = bundle.manifest["files"]
    present = set(_files(bundle.folder))
    wrong = [f"{name} is missing" for name in listed if name not in present]
    wrong += [f"{name} is not in the manifest" for name in sorted(present - set(listed))]
    wrong += [
        f"{name} was changed"
        for name, digest in listed.items()
        if name in present and store.digest_file(bundle.folder / name) != digest
    ]
    if wrong:
        raise VerificationError(f"{bundle.folder} does not hold: {'; '.join(wrong)}.")
    return sorted(listed)


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = sorted(str(path.relative_to(folder).as_posix()) for path in paths)
    return [name for name in names if name not in _DERIVED]


def free_bytes(folder: Path) -> int:
    """Free space where a folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
