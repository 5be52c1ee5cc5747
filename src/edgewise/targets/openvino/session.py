"""OpenVINO as the checks need it: the worker, in a process of its own.

Its library of threads and that of scikit-learn's extension do not load after each other.
"""

import atexit
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
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
    artifact, given, output = (str(folder / name) for name in ("m.onnx", "in.npz", "out.npy"))
    Path(artifact).write_bytes(content)
    np.savez(given, images=np.ascontiguousarray(images, np.float32))
    channels, height, width = images.shape[1:]
    contract = finished((channels, height, width)).to_json()
    digest = store.digest(content)
    answer = _answer(Job("explain", RUNTIME, artifact, digest, given, output, contract=contract))
    rows: Array = np.load(output, allow_pickle=False)
    sizes = [math.prod(shape) for shape in answer["shapes"]]
    parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    shaped = zip(parts, answer["shapes"], strict=True)
    return Seen(
        [part.reshape(len(images), *shape) for part, shape in shaped],
        tuple(_operator(one) for one in answer["operators"]),
    )


def _answer(job: Job) -> Mapping[str, Any]:
    process = _worker(os.getpid())
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with suppress(BrokenPipeError):  # then there is no answer either
            process.stdin.write(json.dumps(job.to_json()) + "\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise ExportError(f"OpenVINO ended with {process.wait()} on the written model.")
        answer: Mapping[str, Any] = json.loads(line)
    except BaseException:  # Ctrl-C above all: no answer is left to be taken for the next one's
        _end(process)
        _worker.cache_clear()
        raise
    if "error" in answer:
        raise ExportError(f"the written model was not run: {answer['error']}")
    return answer


@cache
def _worker(owner: int) -> subprocess.Popen[str]:
    """The process, which takes longer to start than a small network to check.

    owner: the process that it belongs to; a fork of it starts its own.
    """
    found = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-m", "edgewise.targets.openvino.child"],
        env={**os.environ, "PYTHONPATH": found},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _operator(told: Mapping[str, str]) -> Operator:
    layers = tuple(told["layers"].split(","))
    return Operator(told["kind"], told["precision"], told["kernel"], layers)
