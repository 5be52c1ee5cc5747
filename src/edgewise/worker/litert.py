"""LiteRT on the CPU with XNNPACK, one explicit number of threads.

Where it is not, its forerunner tflite-runtime, which is all that there is for 32-bit boards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import tflite
from .job import WorkerError

try:
    import ai_edge_litert as package
    from ai_edge_litert.interpreter import Interpreter

    VERSION = str(package.__version__)
except ImportError as missing:
    try:
        import tflite_runtime as package
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        raise missing from None  # that is the one to install
    VERSION = f"{package.__version__} of tflite-runtime"

_UNKNOWN = "older version of this builtin"  # as the runtime says it of an operator


class Session:
    """A loaded artifact with one input of floats.

    shape: the input's, None where the artifact leaves it open; outputs: all names, in order.
    Raises WorkerError when the file is no model, or not one that this worker can feed.
    """

    def __init__(self, path: str, threads: int) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise WorkerError(f"the artifact cannot be read: {error.strerror}.") from error
        try:
            tflite.check(content)
        except WorkerError as error:
            raise WorkerError(f"LiteRT {VERSION} cannot load it: {error}") from error
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
            inputs = self._interpreter.get_input_details()
            self._results = self._interpreter.get_output_details()
        except (RuntimeError, ValueError, MemoryError) as error:
            raise WorkerError(f"LiteRT {VERSION} cannot load it: {_line(error)}") from error
        if len(inputs) != 1 or inputs[0]["dtype"] is not np.float32:
            takes = ", ".join(f"{one['name']} {one['dtype'].__name__}" for one in inputs)
            raise WorkerError(
                f"the worker feeds one input of floats; this model takes {takes or 'nothing'}."
            )
        given = inputs[0]
        self._index = int(given["index"])
        self._allocated = tuple(int(size) for size in given["shape"])
        signature = [int(size) for size in given["shape_signature"]]
        if len(signature) != len(self._allocated):  # a model that leaves nothing open has none
            signature = list(self._allocated)
        self.shape = tuple(
            None if signature[axis] < 0 else size for axis, size in enumerate(self._allocated)
        )
        self.outputs = tuple(str(one["name"]) for one in self._results)

    def feed(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """The images as the model takes them; raises WorkerError for another shape."""
        if images.ndim != len(self.shape) or not all(map(_fits, self.shape, images.shape)):
            wanted = "x".join("?" if size is None else str(size) for size in self.shape)
            given = "x".join(map(str, images.shape))
            raise WorkerError(f"the model takes {wanted} and is given {given}.")
        return np.ascontiguousarray(images, np.float32)

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs, in order."""
        try:
            if images.shape != self._allocated:
                self._interpreter.resize_tensor_input(self._index, list(images.shape))
                self._interpreter.allocate_tensors()
                self._allocated = images.shape
            self._interpreter.set_tensor(self._index, images)
            self._interpreter.invoke()
        except (RuntimeError, ValueError, MemoryError) as error:
            raise WorkerError(f"LiteRT {VERSION} cannot run it: {_line(error)}") from error
        return [self._interpreter.get_tensor(one["index"]) for one in self._results]


def _fits(taken: int | None, given: int) -> bool:
    return taken in (None, given)


def _line(error: BaseException) -> str:
    said = " ".join(str(error).split())[:400]
    if _UNKNOWN not in said:
        return said
    # It would take the first channel's scale for all, had the artifact not asked for more.
    return (
        f"{said} This runtime is older than what the artifact needs: update it, or, where it is "
        "the last for the board, keep layers of that kind in float, or use fp16 or int8-weights."
    )
