"""This machine, for models that are two files: OpenVINO's .xml and the .bin of its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

from edgewise.devices.device import Device
from edgewise.devices.local import LocalDevice


@final
class WithWeights(Device):
    """A local device that gets the weights of an .xml together with it."""

    def __init__(self) -> None:
        self._local = LocalDevice()
        self.url = self._local.url

    def put(self, source: Path, name: str) -> None:
        self._local.put(source, name)
        if source.suffix == ".xml":
            self._local.put(source.with_suffix(".bin"), str(Path(name).with_suffix(".bin")))

    def run(self, arguments: Sequence[str], timeout_s: float) -> str:
        return self._local.run(arguments, timeout_s)

    def get(self, name: str, destination: Path) -> None:
        self._local.get(name, destination)

    def close(self) -> None:
        self._local.close()
