import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from website import Site, serving

from edgewise.data.sources import Debian, Http, PyPI, Together
from edgewise.errors import FetchError, StorageError
from edgewise.progress import silent

CONTENT = np.random.default_rng(0).bytes(200_000)


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def bring(site: Site, folder: Path, most_bytes: int = len(CONTENT)) -> bytes:
    Http(site.address, dict.fromkeys(site.files, most_bytes)).bring(folder, silent)
    assert sorted(path.name for path in folder.iterdir()) == sorted(site.files)
    return (folder / next(iter(site.files))).read_bytes()


def test_files_arrive_and_are_told_of(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with serving(Site({"a": CONTENT, "b": b""})) as site:
        source = Http(site.address, {"a": len(CONTENT), "b": 0})
        source.bring(tmp_path, lambda *each: told.append(each))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (tmp_path / "b").read_bytes() == b""
    assert told[-1][0] == "a, kB"
    assert told[-1][1:] == (200, 200)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@settings(max_examples=25, deadline=None)
@given(have=st.integers(0, len(CONTENT)), ranges=st.booleans())
def test_what_is_there_is_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, have: int, ranges: bool
) -> None:
    folder = tmp_path_factory.mktemp("a")
    (folder / ".a.part").write_bytes(CONTENT[:have])
    with serving(Site({"a": CONTENT}, ranges)) as site:
        assert bring(site, folder) == CONTENT
    expected = f"bytes={have - 1}-" if have > 1 else None
    assert site.asked == [("a", expected)]


def test_more_than_there_is_starts_again(tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_bytes(CONTENT + bytes(9))
    with serving(Site({"a": CONTENT})) as site:
        assert bring(site, tmp_path) == CONTENT
    assert site.asked == [("a", f"bytes={len(CONTENT) + 8}-"), ("a", None)]


def test_a_file_that_is_whole_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    with serving(Site({"a": CONTENT})) as site:
        assert bring(site, tmp_path) == CONTENT
    assert site.asked == []


def test_a_connection_that_drops_is_taken_up_again(tmp_path: Path) -> None:
    with serving(Site({"a": CONTENT}, stop_after=60_000)) as site:
        assert bring(site, tmp_path) == CONTENT
    assert len(site.asked) == 4


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_always_drops_gives_a_reason(tmp_path: Path, ranges: bool) -> None:
    with (
        serving(Site({"a": CONTENT}, ranges, stop_after=20_000)) as site,
        pytest.raises(FetchError, match=r"a: the server stopped after \d+ bytes"),
    ):
        bring(site, tmp_path)
    assert len(site.asked) == (5 if ranges else 2)
    part = (tmp_path / ".a.part").read_bytes()
    assert part
    assert CONTENT.startswith(part)


def test_no_more_is_taken_than_there_can_be(tmp_path: Path) -> None:
    with (
        serving(Site({"a": CONTENT})) as site,
        pytest.raises(FetchError, match="more than the 1000 bytes"),
    ):
        bring(site, tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 416, 500])
def test_refusals_give_a_reason(tmp_path: Path, status: int) -> None:
    with (
        serving(Site({"a": CONTENT}, status=status)) as site,
        pytest.raises(FetchError, match=f"a: the server answered {status}"),
    ):
        bring(site, tmp_path)


def test_another_range_than_asked_for_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_bytes(CONTENT[:100])
    with (
        serving(Site({"a": CONTENT}, wrong_range=True)) as site,
        pytest.raises(FetchError, match="another range"),
    ):
        bring(site, tmp_path)
    assert (tmp_path / ".a.part").read_bytes() == CONTENT[:100]


def test_no_server_gives_a_reason(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = Http(f"http://127.0.0.1:{taken.getsockname()[1]}", {"a": 9})
        with pytest.raises(FetchError, match="a: no connection .*refused"):
            source.bring(tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_cannot_lead_to_a_file_here(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    redirect = f"file://{tmp_path}/secret"
    with serving(Site({"a": b""}, redirect=redirect)) as site, pytest.raises(FetchError):
        Http(site.address, {"a": 99}).bring(tmp_path, silent)
    assert not (tmp_path / "a").exists()


def test_a_server_that_is_silent_gives_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.data.sources._CONNECT_S", 0.2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        source = Http(f"http://127.0.0.1:{mute.getsockname()[1]}", {"a": 9})
        with pytest.raises(FetchError, match="timed out"):
            source.bring(tmp_path, silent)


def wheel(folder: Path, name: str = "odd_data", version: str = "1.2") -> Path:
    """The smallest wheel that there is, with one file of data."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/data.bin", b"data")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows."""
    pytest.importorskip("pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "shelf").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "shelf"


def test_a_wheel_is_brought(shelf: Path, tmp_path: Path) -> None:
    made = wheel(shelf)
    wheel(shelf, version="1.3")
    PyPI("odd-data", "1.2").bring(tmp_path / "out", silent)
    brought = tmp_path / "out" / made.name
    assert [path.name for path in (tmp_path / "out").iterdir()] == [made.name]
    assert brought.read_bytes() == made.read_bytes()


def test_a_source_archive_is_not_run(shelf: Path, tmp_path: Path) -> None:
    project = tmp_path / "odd_data-1.2"
    project.mkdir()
    (project / "setup.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'trace')!r})\n")
    shutil.make_archive(str(shelf / "odd_data-1.2"), "gztar", tmp_path, "odd_data-1.2")
    with pytest.raises(FetchError, match="No matching .*odd-data==1.2") as caught:
        PyPI("odd-data", "1.2").bring(tmp_path / "out", silent)
    assert len(str(caught.value)) <= 300
    assert not (tmp_path / "trace").exists()


def script(folder: Path, name: str, text: str) -> None:
    """A program of that name, written in Python."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\n{text}")
    (folder / name).chmod(0o755)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real package, and an apt-get that notes how it is called and acts on $KNOWS."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not on this machine")
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/data.bin").write_bytes(b"data")
    (root / "DEBIAN/control").write_text(
        "Package: odd-data\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: odd\n"
    )
    made = tmp_path / "odd-data_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", root, made], check=True, stdout=subprocess.DEVNULL)
    script(
        tmp_path / "bin",
        "apt-get",
        f"""import os, shutil, sys
open({str(tmp_path / "called")!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
own = any(word.startswith("Dir::State=") for word in sys.argv)
if "download" in sys.argv:
    if os.environ["KNOWS"] == "system" or (os.environ["KNOWS"] == "own" and own):
        shutil.copy({str(made)!r}, ".")
    elif os.environ["KNOWS"] == "full":
        sys.exit("E: Write error - write (28: No space left on device)")
    else:
        sys.exit("noise\\n" * 10_000 + "E: Unable to locate package odd-data")
""",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    (tmp_path / "out").mkdir()
    return tmp_path / "called"


@pytest.mark.parametrize(("knows", "calls"), [("system", 1), ("own", 3)])
def test_a_package_is_brought_and_unpacked(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: str, calls: int
) -> None:
    monkeypatch.setenv("KNOWS", knows)
    Debian("odd-data").bring(tmp_path / "out", silent)
    assert (tmp_path / "out/files/usr/share/data.bin").read_bytes() == b"data"
    called = apt.read_text().splitlines()
    assert len(called) == calls
    for line in called[1:]:
        assert f"Dir::State={tmp_path}/out/State" in line
        assert f"Dir::Cache={tmp_path}/out/Cache" in line


def test_a_package_that_nobody_knows(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWS", "nobody")
    with pytest.raises(FetchError, match="Unable to locate package odd-data$") as caught:
        Debian("odd-data").bring(tmp_path / "out", silent)
    assert len(str(caught.value)) <= 300
    assert apt.read_text().splitlines()[1].endswith("update")


@pytest.mark.usefixtures("apt")
def test_a_full_disk_is_no_reason_to_look_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWS", "full")
    with pytest.raises(StorageError, match="No space left on device"):
        Debian("odd-data").bring(tmp_path / "out", silent)


def test_a_machine_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="apt-get is not on this machine"):
        Debian("odd-data").bring(tmp_path, silent)


def test_several_sources_fill_a_folder_each(tmp_path: Path) -> None:
    with serving(Site({"a": b"one", "b": b"two"})) as site:
        parts = tuple((name, Http(site.address, {name: 9})) for name in ("a", "b"))
        both = Together(parts)
        both.bring(tmp_path, silent)
        assert both.resumes
        assert str(both) == f"{site.address}, {site.address}"
        assert not Together((*parts, ("c", Debian("odd-data")))).resumes
        absent = Together((("a", parts[0][1]), ("c", Http(site.address, {"c": 9}))))
        with pytest.raises(FetchError, match="c: the server answered 404"):
            absent.bring(tmp_path, silent)
    assert (tmp_path / "a/a").read_bytes() == b"one"
    assert (tmp_path / "b/b").read_bytes() == b"two"
    assert not (tmp_path / "c").exists()


def test_sources_name_themselves() -> None:
    assert str(Http("https://example.org/a", {})) == "https://example.org/a"
    assert str(PyPI("odd-data", "1.2")) == "PyPI package odd-data 1.2"
    assert str(Debian("odd-data")) == "Debian package odd-data"
