"""OpenVINO on the CPU, one stream of an explicit number of threads, floats of 32 bits.

Left to itself it computes in bfloat16 where a processor can, and calls that float.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from .job import WorkerError

VERSION = str(openvino.__version__)
_TYPES = {"f32": np.float32, "f16": np.float16}
_NOTES = {"kind": "layerType", "precision": "runtimePrecision", "kernel": "primitiveType",
          "layers": "originalLayersNames"}  # fmt: skip


class Session:
    """A loaded artifact with one input.

    shape: the input's, None where the artifact leaves it open; outputs: all names, in order.
    Raises WorkerError when the file is no model, or not one that this worker can feed.
    """

    def __init__(self, path: str, threads: int) -> None:
        self._settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the worker pins itself, to the cores that it is told
        }
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(path)
        except Exception as error:  # several classes, by what was wrong
            raise WorkerError(f"OpenVINO {VERSION} cannot load it: {_line(error)}") from error
        inputs = self._model.inputs
        if len(inputs) != 1 or _kind(inputs[0]) not in _TYPES:
            takes = ", ".join(f"{one.get_any_name()} {_kind(one)}" for one in inputs) or "nothing"
            raise WorkerError(f"the worker feeds one input of floats; this model takes {takes}.")
        self._type = _TYPES[_kind(inputs[0])]
        self.shape = tuple(
            size.get_length() if size.is_static else None for size in inputs[0].get_partial_shape()
        )
        self.outputs = tuple(output.get_any_name() for output in self._model.outputs)
        self._compiled: tuple[int, ...] | None = None
        if None not in self.shape[1:]:
            self._compile((self.shape[0] or 1, *self.shape[1:]))

    def feed(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """The images in the type that the model takes; raises WorkerError for another shape."""
        if images.ndim != len(self.shape) or not all(map(_fits, self.shape, images.shape)):
            wanted = "x".join("?" if size is None else str(size) for size in self.shape)
            given = "x".join(map(str, images.shape))
            raise WorkerError(f"the model takes {wanted} and is given {given}.")
        return np.ascontiguousarray(images, self._type)

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs, in order."""
        if images.shape != self._compiled:
            self._compile(images.shape)
        try:
            self._request.infer([images], share_inputs=True)
            # Copies, since the next run writes over them.
            tensors = map(self._request.get_output_tensor, range(len(self.outputs)))
            return [np.array(tensor.data) for tensor in tensors]
        except Exception as error:
            raise WorkerError(f"OpenVINO {VERSION} cannot run it: {_line(error)}") from error

    def operators(self) -> list[dict[str, str]]:
        """What the compiled graph executes, in order, without constants.

        kind: of operation; precision: that it computes in; kernel: the plugin's; layers: names of
        the model's operations that it stands for, separated by commas.
        """
        graph = self._request.get_compiled_model().get_runtime_model()
        notes = [node.get_rt_info() for node in graph.get_ordered_ops()]
        told = [{name: str(note[key].value) for name, key in _NOTES.items()} for note in notes]
        return [one for one in told if one["kind"] != "Const"]

    def _compile(self, shape: Any) -> None:
        """For one shape alone: integer kernels of an open one take a quarter more time."""
        try:
            self._model.reshape(list(shape))
            compiled = self._core.compile_model(self._model, "CPU", self._settings)
            self._request = compiled.create_infer_request()
        except Exception as error:
            raise WorkerError(f"OpenVINO {VERSION} cannot load it: {_line(error)}") from error
        self._compiled = tuple(shape)


def _kind(given: Any) -> str:
    return str(given.get_element_type().get_type_name())


def _fits(taken: int | None, given: int) -> bool:
    return taken in (None, given)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
