import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli.common import console
from edgewise.cli.main import main

Said = Callable[..., tuple[int, Any, str]]

_NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(6, 4)
    def forward(self, images):
        return self.head(self.body(images))

def make():
    torch.manual_seed(0)
    return Net()

def sized():
    return make(), torch.zeros(1, 3, 8, 8)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A user's file with two factories, `make` and `sized`."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "net.py").write_text(_NET)
    return folder / "net.py"


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Runs a command with --json: exit code, the one object on stdout, and what stderr says."""
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments: object) -> tuple[int, Any, str]:
        capfd.readouterr()
        code = main([*(str(argument) for argument in arguments), "--json"])
        out, err = capfd.readouterr()
        assert out.count("\n") == 1, out
        return code, json.loads(out), err

    return run


_LIMITED = """
import resource, sys
from edgewise.cli import common
from edgewise.cli.main import main
largest, *arguments = sys.argv[1:]
for name in [a for a in arguments if a.startswith("import:")]:
    __import__(name.removeprefix("import:"))
    arguments.remove(name)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
sys.exit(main(arguments))
"""


@pytest.fixture(scope="session")
def with_little_space() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a command in a process whose files cannot grow beyond some bytes, as on a full disk."""

    def run(largest: int, *arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", _LIMITED, str(largest), *(str(a) for a in arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run
