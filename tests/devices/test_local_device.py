import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.devices.local import LocalDevice
from edgewise.errors import DeviceError

# Starts a child of its own, says who both are, and waits to be stopped.
WAITING = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("pids.part", "w") as handle:
    handle.write(f"{os.getpid()} {child.pid}")
os.rename("pids.part", "pids")
print("waiting", flush=True)
time.sleep(600)
"""


@pytest.fixture
def device() -> Iterator[LocalDevice]:
    with LocalDevice() as local:
        yield local


def script(device: LocalDevice, folder: Path, text: str) -> str:
    (folder / "script.py").write_text(text)
    device.put(folder / "script.py", "script.py")
    return "script.py"


@pytest.mark.parametrize("package", ["edgewise", "torch", "onnx", "pytest", "site_packages"])
def test_nothing_of_the_host_can_be_imported(
    device: LocalDevice, tmp_path: Path, package: str
) -> None:
    name = script(device, tmp_path, f"import {package}")
    with pytest.raises(DeviceError, match=f"No module named '{package}'"):
        device.run((name,), 60)


def test_numpy_and_the_runtime_can(device: LocalDevice, tmp_path: Path) -> None:
    name = script(device, tmp_path, "import numpy, onnxruntime; print('both')")
    assert device.run((name,), 60) == "both\n"


def test_the_environment_is_clean(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "leak.py").write_text("")
    name = script(device, tmp_path, "import os; print(sorted(os.environ))\nimport leak")
    with pytest.raises(DeviceError, match="No module named 'leak'") as caught:
        device.run((name,), 60)
    assert "SECRET" not in str(caught.value)


def test_a_failure_says_where_what_and_why(device: LocalDevice, tmp_path: Path) -> None:
    name = script(device, tmp_path, "print('on its way')\nraise SystemExit(3)")
    with pytest.raises(DeviceError) as caught:
        device.run((name, "x"), 60)
    for part in ("local", "python script.py x", "exit code 3", "on its way"):
        assert part in str(caught.value)


def test_a_killed_worker_is_named_by_its_signal(device: LocalDevice, tmp_path: Path) -> None:
    name = script(device, tmp_path, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(DeviceError, match="signal SIGKILL, as a system does"):
        device.run((name,), 60)
    name = script(device, tmp_path, "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(DeviceError, match="signal SIGSEGV"):
        device.run((name,), 60)


def alive(pid: int) -> bool:
    """Running, and not merely waiting to be forgotten by its parent."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip()[:1] not in ("", "Z")


def assert_gone(device: LocalDevice, folder: Path) -> None:
    device.get("pids", folder / "pids")
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) == 2
    end = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, "a process was left behind"
        time.sleep(0.01)


def test_what_takes_too_long_is_stopped_with_its_children(
    device: LocalDevice, tmp_path: Path
) -> None:
    name = script(device, tmp_path, WAITING)
    with pytest.raises(DeviceError, match="longer than 2 s and was stopped.*\n?.*waiting"):
        device.run((name,), 2)
    assert_gone(device, tmp_path)


def test_ctrl_c_stops_the_worker_and_its_children(device: LocalDevice, tmp_path: Path) -> None:
    name = script(device, tmp_path, WAITING)

    def press() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                device.get("pids", tmp_path / "seen")
                break
            except DeviceError:
                time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        device.run((name,), 60)
    thread.join()
    assert_gone(device, tmp_path)


def test_a_folder_replaces_what_had_its_name(device: LocalDevice, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.py").write_text("x = 1")
    (tmp_path / "two").mkdir()
    device.put(tmp_path / "one", "package")
    device.put(tmp_path / "two", "package")
    name = script(device, tmp_path, "import os; print(os.listdir('package'))")
    assert device.run((name,), 60) == "[]\n"


def test_the_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with LocalDevice() as device:
        name = script(device, tmp_path, "import os; print(os.getcwd())")
        folder = Path(device.run((name,), 60).strip())
        assert folder.is_dir()
    assert not folder.exists()
    assert not folder.parent.exists()
