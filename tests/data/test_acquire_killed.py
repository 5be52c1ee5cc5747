"""Fetching in a process of its own, which is killed or kept short of disk."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from oddset import CONTENTS, HERE, check, listing, wanted
from website import PIECE, Site, serving

from edgewise.data.acquire import fetch_set
from edgewise.data.sources import Http


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def script(body: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python of its own, to be killed or kept short of disk."""
    return subprocess.Popen(
        [sys.executable, "-c", body, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


DOWNLOAD = """
import json, resource, sys
from pathlib import Path
from edgewise.data.acquire import fetch_set
from edgewise.data.sources import Http
from edgewise.errors import StorageError
from oddset import wanted
address, root, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    fetch_set(wanted(Http(address, {"a": 300_000, "b": 5})), Path(root))
except StorageError as error:
    print(error)
"""


def test_a_download_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    with serving(Site(CONTENTS, pause_s=0.02)) as site:
        running = script(DOWNLOAD, site.address, tmp_path, 0)
        part = tmp_path / ".odd.fetch/kept-0/.a.part"
        while not part.exists() or part.stat().st_size < 2 * PIECE:
            assert running.poll() is None, "it ended before it could be killed"
        running.kill()
        assert running.wait() == -signal.SIGKILL
        have = part.stat().st_size
        assert have < len(CONTENTS["a"])
        fetch_set(wanted(Http(site.address, {"a": 300_000, "b": 5})), tmp_path)
        assert ("a", f"bytes={have - 1}-") in site.asked
    check(tmp_path)
    assert running.stdout is not None
    running.stdout.close()


@pytest.mark.parametrize("limit", [1, 4, 299_999])
def test_a_disk_that_fills_leaves_nothing(tmp_path: Path, limit: int) -> None:
    with serving(Site(CONTENTS)) as site:
        said, _ = script(DOWNLOAD, site.address, tmp_path, limit).communicate(timeout=60)
    assert "File too large" in said
    assert "run the same command again" in said
    assert listing(tmp_path) == set()


KILLED_EVERYWHERE = """
import json, os, signal, sys
from pathlib import Path
from edgewise.data.acquire import fetch_set
from oddset import CONTENTS, Shelf, listing, wanted

root = Path(sys.argv[1])
TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
seen = {}

def attempt(folder, last):
    left = last
    def listen(event, arguments):
        nonlocal left
        if event in TOUCHES and str(folder) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child == 0:
        if last:
            sys.addaudithook(listen)
        fetch_set(wanted(Shelf("good", CONTENTS)), folder)
        os._exit(0)
    return os.waitpid(child, 0)[1]

killed = 0
while True:
    folder = root / str(killed)
    folder.mkdir()
    if attempt(folder, killed + 1) == 0:
        break
    assert attempt(folder, 0) == 0
    assert all((folder / "odd" / n).read_bytes() == c for n, c in CONTENTS.items())
    seen[killed] = sorted(listing(folder))
    killed += 1
print(json.dumps(seen))
"""


def test_killed_at_any_touch_of_the_disk_and_run_again(tmp_path: Path) -> None:
    """Killed before the first, second, ... open, rename, removal: the same in the end."""
    said, _ = script(KILLED_EVERYWHERE, tmp_path).communicate(timeout=120)
    ends = json.loads(said)
    assert len(ends) > 20
    assert all(set(end) == HERE for end in ends.values())
