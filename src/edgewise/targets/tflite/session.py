"""LiteRT on this machine, as the checks need it."""

import copy
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgewise.errors import ExportError
from edgewise.targets.tflite.builder import serialize

Array = NDArray[Any]
Run = Callable[[NDArray[np.float32]], list[Array]]


def load(content: bytes, xnnpack: bool = True) -> Interpreter:
    """An interpreter of one thread for one image; raises ExportError where the runtime refuses.

    xnnpack: with the kernels that users get; else the runtime's plain ones.
    """
    kernels = OpResolverType.BUILTIN
    if not xnnpack:
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with _quiet():
            interpreter = Interpreter(
                model_content=content, num_threads=1, experimental_op_resolver_type=kernels
            )
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"LiteRT refuses the written model: {_line(error)}") from error
    return interpreter


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the runtime prints past Python when it loads: errors are raised anyway."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def runner(content: bytes, xnnpack: bool = True) -> Run:
    """A function from a batch to all outputs."""
    interpreter = load(content, xnnpack)
    (given,) = interpreter.get_input_details()
    shape = [int(size) for size in given["shape"]]

    def run(images: NDArray[np.float32]) -> list[Array]:
        nonlocal shape
        try:
            if list(images.shape) != shape:
                shape = list(images.shape)
                interpreter.resize_tensor_input(given["index"], shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(given["index"], images)
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"LiteRT cannot run the written model: {_line(error)}") from error
        return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]

    return run


def delegated(content: bytes) -> frozenset[int]:
    """Indices of the tensors that the XNNPACK part of a loaded model reads, constants included."""
    parts = (one for one in load(content)._get_ops_details() if one["op_name"] == "DELEGATE")
    return frozenset(int(index) for part in parts for index in part["inputs"])


def probe(model: Any, tensors: Sequence[int]) -> bytes:
    """A model that shows inner tensors too, after its own output."""
    shown = copy.copy(model)
    graph = copy.copy(model.subgraphs[0])
    graph.outputs = [*graph.outputs, *tensors]
    shown.subgraphs = [graph]
    return serialize(shown)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
