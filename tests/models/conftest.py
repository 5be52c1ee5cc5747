import os
from pathlib import Path
from typing import Any

import pytest


class _Evil:
    """Leaves a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.canary}'",)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that is there when code was executed."""
    return tmp_path / "canary"


@pytest.fixture
def evil(canary: Path) -> object:
    """An object whose pickle runs a command that leaves the canary."""
    return _Evil(canary)
