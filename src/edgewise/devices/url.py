"""A device by its URL."""

from collections.abc import Callable, Mapping

from edgewise.devices.device import Device
from edgewise.devices.local import LocalDevice
from edgewise.errors import UsageError

DEVICES: Mapping[str, Callable[[], Device]] = {"local": LocalDevice}


def connect(url: str) -> Device:
    """The device that the URL names; raises UsageError when there is no such kind."""
    if url not in DEVICES:
        raise UsageError(
            f"there is no device '{url}'; what can be used is {', '.join(DEVICES)} (this machine)."
        )
    return DEVICES[url]()
