"""litert-torch and ai-edge-quantizer, which our TFLite files are held against, in a child process.

They want an older typing_extensions than ours and two gigabytes of packages, so they have an
interpreter of their own, which `make oracle` sets up; networks go there as torch.export's programs.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

ROOT = Path(__file__).parent.parent
INTERPRETER = ROOT / ".oracle" / "bin" / "python"
PROGRAM, IMAGES, PACKAGES = "program.pt2", "images.npy", "packages.json"
FLOAT, INT8, INT8_MIN_MAX = "float32.tflite", "int8.tflite", "int8-min-max.tflite"


def absent() -> str | None:
    """What to do about an oracle that is not there."""
    return None if INTERPRETER.exists() else "not installed: make oracle"


def give(module: nn.Module, images: NDArray[np.float32], folder: Path) -> None:
    """Put a network in evaluation mode there, and the images (n, ...) to calibrate it on."""
    np.save(folder / IMAGES, images)
    program = torch.export.export(module, (torch.from_numpy(images[:1]),))
    torch.export.save(program, folder / PROGRAM)


def ask(folders: Sequence[Path]) -> str | None:
    """Have its artifacts put beside what was given; a sentence where there are none."""
    command = [str(INTERPRETER), "-m", "benchmarks.litert_oracle", *map(str, folders)]
    # Neither our packages nor threads that a benchmark beside it would feel.
    given = {**os.environ, "OMP_NUM_THREADS": "1", "CI": "true", "PYTHONPATH": ""}
    answer = subprocess.run(command, check=False, capture_output=True, env=given, cwd=ROOT)
    if answer.returncode == 0:
        return None
    lines = answer.stderr.decode(errors="replace").strip().split("\n")
    return f"ended with exit code {answer.returncode}: {lines[-1][:200]}"


def packages(folder: Path) -> Mapping[str, str]:
    """The versions that made the artifacts there."""
    found: Mapping[str, str] = json.loads((folder / PACKAGES).read_text())
    return found
