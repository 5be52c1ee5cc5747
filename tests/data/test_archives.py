import errno
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.data.archives import gunzip, spill, untar, unzip
from edgewise.errors import DataError, StorageError

CONTENT = bytes(range(256)) * 50


def tar(path: Path, entries: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def make(kind: str, folder: Path) -> tuple[Path, Callable[[Path, int], None]]:
    """An archive of one member `in/a` with CONTENT, and how it is unpacked to a path."""
    path = folder / f"x.{kind}"
    if kind == "gz":
        path.write_bytes(gzip.compress(CONTENT))
        return path, lambda target, most: gunzip(path, target, most)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("in/a", CONTENT)
        return path, lambda target, most: unzip(path, "in/a", target, most)
    tar(path, {"in/b": b"b", "in/a": CONTENT})
    return path, lambda target, most: untar(path, {"in/a": target}, most)


KINDS = pytest.mark.parametrize("kind", ["gz", "zip", "tar"])


@KINDS
def test_content_comes_out_where_it_was_asked_for(kind: str, tmp_path: Path) -> None:
    _, unpack = make(kind, tmp_path)
    unpack(tmp_path / "out/new/a", len(CONTENT))
    assert (tmp_path / "out/new/a").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"x.{kind}", "a"]


@KINDS
def test_what_is_larger_than_said_is_refused(kind: str, tmp_path: Path) -> None:
    _, unpack = make(kind, tmp_path)
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(tmp_path / "a", len(CONTENT) - 1)
    assert not (tmp_path / "a").exists() or (tmp_path / "a").stat().st_size < len(CONTENT)


@KINDS
@settings(deadline=None)
@given(data=st.data())
def test_a_cut_or_changed_archive_never_gives_other_content(
    kind: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("x")
    path, unpack = make(kind, folder)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[at:]
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(whole))
    try:
        unpack(folder / "a", len(CONTENT))
    except DataError:
        return
    assert (folder / "a").read_bytes() == CONTENT


@KINDS
def test_another_file_is_not_an_archive(kind: str, tmp_path: Path) -> None:
    path, unpack = make(kind, tmp_path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=f"x.{kind} is"):
        unpack(tmp_path / "a", 99)


def test_an_absent_member_is_named(tmp_path: Path) -> None:
    make("tar", tmp_path)
    make("zip", tmp_path)
    with pytest.raises(DataError, match="lacks in/c"):
        untar(tmp_path / "x.tar", {"in/c": tmp_path / "c"}, 99)
    with pytest.raises(DataError, match="in/c in x.zip"):
        unzip(tmp_path / "x.zip", "in/c", tmp_path / "c", 99)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_a_tar_lead_nowhere(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "secret").write_text("secret")
    entries: dict[str, bytes | tarfile.TarInfo] = {
        "in/a": link("in/a", str(tmp_path / "secret"), kind),
        "../../escaped": b"x",
        "/absolute": b"x",
    }
    with pytest.raises(DataError, match="not a plain file"):
        untar(tar(tmp_path / "x.tar", entries), {"in/a": tmp_path / "out/a"}, 99)
    assert not (tmp_path / "out/a").exists() or not (tmp_path / "out/a").read_bytes()
    assert not list(tmp_path.rglob("escaped"))


def test_what_the_disk_refuses_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        spill(tmp_path / "file/a", iter([b"x"]))

    def full() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="No space left on device"):
        spill(tmp_path / "a", full())
