"""Every error that edgewise raises on purpose.

EdgewiseError                  exit code 1
├── UsageError                 2   the request itself cannot be meant
├── DataError                  3   a data set is absent, cut short, malformed or not finite
│   └── FetchError             3   no source gave the data
├── ModelError                 4   a model or its weights cannot be loaded or used
│   ├── CaptureError           4   the network cannot be captured as a graph
│   └── UnsupportedOpError     4   an operation cannot be quantized or written
├── RecipeError                5   steps in an order that cannot work
├── ExportError                6   an artifact was not what it should be
│   └── ParityError            6   artifact and integer twin differ
├── DeviceError                7   a device or its worker failed
├── MeasurementError           8   measurements that must not be compared or trusted
├── StorageError               9   a file cannot be written or is not what it says
│   └── VerificationError      9   a bundle's hashes or figures do not hold
└── Interrupted              130   stopped by the user

A message says what was asked, why it cannot be, and what would do.
"""

from typing import ClassVar


class EdgewiseError(Exception):
    """Base of the tree: caught once, by the command line."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgewiseError):
    """The request itself cannot be meant."""

    exit_code = 2


class DataError(EdgewiseError):
    """A data set is absent, cut short, malformed or not finite."""

    exit_code = 3


class FetchError(DataError):
    """No source gave the data."""


class ModelError(EdgewiseError):
    """A model or its weights cannot be loaded or used."""

    exit_code = 4


class CaptureError(ModelError):
    """The network cannot be captured as a graph."""


class UnsupportedOpError(ModelError):
    """An operation cannot be quantized or written."""


class RecipeError(EdgewiseError):
    """Steps in an order that cannot work."""

    exit_code = 5


class ExportError(EdgewiseError):
    """An artifact was not what it should be."""

    exit_code = 6


class ParityError(ExportError):
    """The artifact and its integer twin differ."""


class DeviceError(EdgewiseError):
    """A device or its worker failed."""

    exit_code = 7


class MeasurementError(EdgewiseError):
    """Measurements that must not be compared or trusted."""

    exit_code = 8


class StorageError(EdgewiseError):
    """A file cannot be written, or is not what it says it is."""

    exit_code = 9


class VerificationError(StorageError):
    """A bundle's hashes or figures do not hold."""


class Interrupted(EdgewiseError):  # noqa: N818 - not a fault, a user's wish
    """Stopped by the user."""

    exit_code = 130
