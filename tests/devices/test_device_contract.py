"""What every device promises, of which no real board is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgewise.devices.device import Device
from edgewise.devices.fake import FakeDevice, steady
from edgewise.devices.local import LocalDevice
from edgewise.devices.url import DEVICES, connect
from edgewise.errors import DeviceError, UsageError

KINDS: tuple[Callable[[], Device], ...] = (LocalDevice, lambda: FakeDevice(steady({})))


@pytest.fixture(params=KINDS, ids=["local", "fake"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with request.param() as made:
        yield made


def test_a_file_comes_back_as_it_went(device: Device, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "there").write_bytes(content)
    device.put(tmp_path / "there", "Some-name_1.bin")
    device.get("Some-name_1.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_later_file_replaces_an_earlier_one(device: Device, tmp_path: Path) -> None:
    for content in (b"first and longer", b"second"):
        (tmp_path / "file").write_bytes(content)
        device.put(tmp_path / "file", "file")
    device.get("file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"second"


@pytest.mark.parametrize("name", ["", "..", "../up", "/etc/x", "a b", "a;b", "a/b", ".hidden", "ä"])
def test_only_plain_names_are_taken(device: Device, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DeviceError, match="no name of a file"):
        device.put(tmp_path / "file", name)
    with pytest.raises(DeviceError, match="no name of a file"):
        device.get(name, tmp_path / "back")


def test_a_file_that_is_not_there_cannot_be_fetched(device: Device, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="absent cannot be fetched"):
        device.get("absent", tmp_path / "back")


def test_a_device_is_found_by_its_url() -> None:
    with connect("local") as device:
        assert device.url == "local"


@pytest.mark.parametrize("url", ["", "Local", "ssh://pi", "local/x"])
def test_an_unknown_device_is_refused_with_what_there_is(url: str) -> None:
    with pytest.raises(UsageError, match=", ".join(DEVICES)):
        connect(url)
