"""OpenVINO as the checks need it: the worker, in a process of its own.

Its library of threads and that of scikit-learn's extension do not load after each other.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgewise import store
from edgewise.data.preprocess import finished
from edgewise.errors import ExportError, StorageError
from edgewise.worker.job import Job

RUNTIME = "openvino"
_MODEL, _IMAGES, _OUTPUT, _JOB = "model.onnx", "images.npz", "output.npy", "job.json"

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Operator:
    """One that the compiled graph executes; see the worker's session.

    layers: names of the model's operations that it stands for.
    """

    kind: str
    precision: str
    kernel: str
    layers: tuple[str, ...]

    @property
    def on_integers(self) -> bool:
        """By the kernel: the precision is that of the input, even where a kernel widens it."""
        return self.kernel.lower().endswith(("_i8", "_u8"))


@dataclass(frozen=True)
class Seen:
    """What the runtime gives for images, one after the other: outputs in the model's order, and
    what it has executed.
    """

    outputs: Sequence[Array]
    operators: tuple[Operator, ...]


def run(model: onnx.ModelProto, images: Array) -> Seen:
    """Run a model on images, (n, channels, height, width), one at a time, as a device would.

    Raises ExportError, in the runtime's words, where it is not installed or refuses the model.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-") as name:
            return _run(model, images, Path(name))
    except OSError as error:
        raise StorageError(
            f"the temporary folder cannot be used: {error}. Free some space or set TMPDIR."
        ) from error


def _run(model: onnx.ModelProto, images: Array, folder: Path) -> Seen:
    content = model.SerializeToString()
    (folder / _MODEL).write_bytes(content)
    np.savez(folder / _IMAGES, images=np.ascontiguousarray(images, np.float32))
    channels, height, width = images.shape[1:]
    contract = finished((channels, height, width)).to_json()
    digest = store.digest(content)
    job = Job("explain", RUNTIME, _MODEL, digest, _IMAGES, _OUTPUT, contract=contract)
    (folder / _JOB).write_text(json.dumps(job.to_json()))
    answer = _answer(folder)
    rows: Array = np.load(folder / _OUTPUT, allow_pickle=False)
    sizes = [int(np.prod(shape)) for shape in answer["shapes"]]
    parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    shaped = zip(parts, answer["shapes"], strict=True)
    return Seen(
        [part.reshape(len(images), *shape) for part, shape in shaped],
        tuple(_operator(one) for one in answer["operators"]),
    )


def _answer(folder: Path) -> Mapping[str, Any]:
    """The worker's, of the job in a folder."""
    found = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
    process = subprocess.run(
        [sys.executable, "-m", "edgewise.worker", _JOB],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": found},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode:
        raise ExportError(
            f"OpenVINO's process ended with {process.returncode} on the written model: "
            f"{' '.join(process.stderr.split())[-400:]}"
        )
    answer: Mapping[str, Any] = json.loads(process.stdout)
    if "error" in answer:
        raise ExportError(f"the written model was not run: {answer['error']}")
    return answer


def _operator(told: Mapping[str, str]) -> Operator:
    layers = tuple(told["layers"].split(","))
    return Operator(told["kind"], told["precision"], told["kernel"], layers)
