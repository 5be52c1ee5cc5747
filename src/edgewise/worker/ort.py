"""ONNX Runtime on the CPU, one explicit thread pool and nothing beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .job import WorkerError

VERSION = str(onnxruntime.__version__)
_PROVIDERS = ["CPUExecutionProvider"]
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Session:
    """A loaded artifact with one input.

    shape: the input's, None where the artifact leaves it open; outputs: all names, in order.
    Raises WorkerError when the file is no model, or not one that this worker can feed.
    """

    def __init__(self, path: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # warnings would be noise on the host's screen
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=_PROVIDERS)
        except Exception as error:  # the runtime's own classes are private
            raise WorkerError(f"ONNX Runtime {VERSION} cannot load it: {_line(error)}") from error
        if self._session.get_providers() != _PROVIDERS:
            raise WorkerError(f"ONNX Runtime chose {self._session.get_providers()}, not the CPU.")
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _TYPES:
            takes = ", ".join(f"{one.name} {one.type}" for one in inputs) or "nothing"
            raise WorkerError(f"the worker feeds one input of floats; this model takes {takes}.")
        self._name = inputs[0].name
        self._type = _TYPES[inputs[0].type]
        self.shape = tuple(
            size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape
        )
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def feed(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """The images in the type that the model takes; raises WorkerError for another shape."""
        if images.ndim != len(self.shape) or not all(map(_fits, self.shape, images.shape)):
            wanted = "x".join("?" if size is None else str(size) for size in self.shape)
            given = "x".join(map(str, images.shape))
            raise WorkerError(f"the model takes {wanted} and is given {given}.")
        return images.astype(self._type, copy=False)

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs, in order."""
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, {self._name: images})
        except Exception as error:
            raise WorkerError(f"ONNX Runtime {VERSION} cannot run it: {_line(error)}") from error
        return outputs


def _fits(taken: int | None, given: int) -> bool:
    return taken in (None, given)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
