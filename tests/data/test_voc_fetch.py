"""The devkit is unpacked whole or not at all, and nothing outside of it."""

import hashlib
import io
import tarfile
from pathlib import Path

import devkit
import pytest
from website import Site, serving

from edgewise.data import voc_fetch
from edgewise.data.acquire import File, Made, Route, Wanted, fetch_set, is_here, record
from edgewise.data.sources import Http, Together
from edgewise.data.voc import load_voc
from edgewise.errors import DataError, FetchError

NAMES = tuple(voc_fetch.SUMS)


def archive(root: Path, year: str, lists: dict[str, list[str]], extra: object = None) -> bytes:
    """A tar file as published, of a year with the images of the lists."""
    for names in lists.values():
        for name in names:
            devkit.write(root / "VOCdevkit" / year, name)
    devkit.sets(root / "VOCdevkit" / year, lists)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        made.add(root / "VOCdevkit", "VOCdevkit")
        if callable(extra):
            extra(made)
    return buffer.getvalue()


def hostile(made: tarfile.TarFile) -> None:
    """Names that lead elsewhere, links, devices and what else a devkit does not need."""
    for name in (
        "/VOCdevkit/VOC2007/Annotations/abs.xml",
        "VOCdevkit/VOC2007/Annotations/../../../../out.xml",
        "../VOCdevkit/VOC2007/Annotations/up.xml",
        "VOCdevkit/VOC2007/Annotations/run.sh",
        "VOCdevkit/VOC2012/SegmentationClass/a.png",
    ):
        entry = tarfile.TarInfo(name)
        entry.size = 1
        made.addfile(entry, io.BytesIO(b"x"))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        entry = tarfile.TarInfo(f"VOCdevkit/VOC2007/Annotations/link{kind.decode()}.xml")
        entry.type, entry.linkname = kind, "/etc/passwd"
        made.addfile(entry)


@pytest.fixture
def contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Three tiny archives, the sums of which are the published ones; the first is hostile."""
    made = (
        archive(tmp_path / "a", "VOC2007", {"trainval": ["000001", "000002"]}, hostile),
        archive(tmp_path / "b", "VOC2007", {"test": ["000003"]}),
        archive(tmp_path / "c", "VOC2012", {"trainval": ["2008_000001"]}),
    )
    found = dict(zip(NAMES, made, strict=True))
    sums = {
        name: (voc_fetch.SUMS[name][0], len(content), hashlib.md5(content).hexdigest())
        for name, content in found.items()
    }
    monkeypatch.setattr(voc_fetch, "SUMS", sums)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return found


def wanted(address: str, contents: dict[str, bytes]) -> Wanted:
    parts = tuple(
        (year, Http(f"{address}/{year}", {n: len(contents[n]) for n in NAMES if year in place(n)}))
        for year in ("voc2007", "voc2012")
    )
    files = tuple(File(name, len(content), None) for name, content in contents.items())
    route = Route(Together(parts), voc_fetch.unpack)
    return Wanted("voc", files, (route,), Made((), (), voc_fetch.make))


def place(name: str) -> str:
    return voc_fetch.SUMS[name][0]


def test_it_is_fetched_unpacked_and_read(tmp_path: Path, contents: dict[str, bytes]) -> None:
    root = tmp_path / "data"
    files = {f"{place(name)}/{name}": content for name, content in contents.items()}
    with serving(Site(files)) as site:
        entry = wanted(site.address, contents)
        folder = fetch_set(entry, root)
        assert is_here(entry, root)
        assert set(record(entry, root)["files"]) == set(NAMES)
        fetch_set(entry, root)
    assert len(site.asked) == 3
    assert sorted(each.name for each in root.iterdir()) == ["voc"]
    inside = sorted(file.name for file in (folder / "VOCdevkit").rglob("*") if file.is_file())
    pairs = {name: (f"{name}.jpg", f"{name}.xml") for name in IMAGES}
    expected = [*(file for pair in pairs.values() for file in pair), *["trainval.txt"] * 2]
    assert inside == sorted([*expected, "test.txt"])
    dataset = load_voc(folder, (3, 32, 32))
    assert [(split.name, len(split)) for split in dataset.splits] == [
        ("train", 2), ("calibration", 2), ("validation", 1), ("test", 1),
    ]  # fmt: skip


IMAGES = ("000001", "000002", "000003", "2008_000001")


def test_a_damaged_archive_is_refused(tmp_path: Path, contents: dict[str, bytes]) -> None:
    contents[NAMES[1]] = contents[NAMES[1]][:-1] + b"x"
    files = {f"{place(name)}/{name}": content for name, content in contents.items()}
    with (
        serving(Site(files)) as site,
        pytest.raises(FetchError, match=f"{NAMES[1]} has the MD5 sum"),
    ):
        fetch_set(wanted(site.address, contents), tmp_path / "data")
    assert not (tmp_path / "data" / "voc").exists()


def test_where_the_site_is_not_to_be_had(tmp_path: Path, contents: dict[str, bytes]) -> None:
    with serving(Site({}, status=503)) as site:
        with pytest.raises(FetchError, match=rf"{NAMES[0]}: the server answered 503") as caught:
            fetch_set(wanted(site.address, contents), tmp_path / "data")
        assert site.address in str(caught.value)
        assert "by hand" in str(caught.value)
    assert not list((tmp_path / "data").iterdir())


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def test_unpacking_is_whole_or_not_at_all(tmp_path: Path, contents: dict[str, bytes]) -> None:
    folder = tmp_path / "voc"
    put(folder, contents)
    (folder / NAMES[2]).write_bytes(contents[NAMES[2]][:1500])
    with pytest.raises(DataError, match=f"{NAMES[2]} is damaged|{NAMES[2]} holds no VOCdevkit"):
        voc_fetch.make(folder)
    assert not (folder / "VOCdevkit").exists()
    (folder / NAMES[2]).write_bytes(contents[NAMES[2]])
    voc_fetch.make(folder)
    assert sorted(each.name for each in folder.iterdir()) == sorted([*NAMES, "VOCdevkit"])
    before = (folder / "VOCdevkit").stat().st_ino
    voc_fetch.make(folder)
    assert (folder / "VOCdevkit").stat().st_ino == before


@pytest.mark.parametrize("limits", [(20, 100), (1 << 20, 3)])
def test_archives_that_grow_are_refused(
    tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch,
    limits: tuple[int, int],
) -> None:  # fmt: skip
    monkeypatch.setattr(voc_fetch, "_LIMITS", limits)
    put(tmp_path / "voc", contents)
    with pytest.raises(DataError, match="more than"):
        voc_fetch.make(tmp_path / "voc")
    assert not (tmp_path / "voc" / "VOCdevkit").exists()


def test_what_is_published() -> None:
    assert str(voc_fetch.SOURCE).count("host.robots.ox.ac.uk/pascal/VOC/voc20") == 2
    assert voc_fetch.SOURCE.resumes
    assert [len(md5) for _, _, md5 in voc_fetch.SUMS.values()] == [32] * 3
