"""ONNX Runtime on this machine, as the checks need it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgewise.errors import ExportError, StorageError
from edgewise.targets.onnx.builder import INPUT, Array

_ERRORS_ONLY = 3


def run(model: onnx.ModelProto, images: NDArray[np.float32], outputs: Sequence[str]) -> list[Array]:
    """The named outputs of a model for a batch, with the optimization that users get."""
    return runner(model, outputs)(images)


def runner(
    model: onnx.ModelProto, outputs: Sequence[str]
) -> Callable[[NDArray[np.float32]], list[Array]]:
    """A function from a batch to the named outputs, for more than one batch.

    What takes one image at a time is given one after the other.
    """
    session = _session(model.SerializeToString(), _options())
    fixed = session.get_inputs()[0].shape[0]

    def run_all(images: NDArray[np.float32]) -> list[Array]:
        size = fixed if isinstance(fixed, int) else len(images)
        if len(images) <= size:
            return [np.asarray(value) for value in session.run(list(outputs), {INPUT: images})]
        starts = range(0, len(images), size)
        parts = [session.run(list(outputs), {INPUT: images[at : at + size]}) for at in starts]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    return run_all


def run_as_it_is(
    model: onnx.ModelProto, images: NDArray[np.float32], outputs: Sequence[str]
) -> list[Array]:
    """The named outputs of a graph that the runtime has optimized before, and leaves so."""
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _session(model.SerializeToString(), options)
    return [np.asarray(value) for value in session.run(list(outputs), {INPUT: images})]


def optimized(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of a model and executes.

    Raises StorageError when the folder cannot hold it.
    """
    path, content = folder / "optimized.onnx", model.SerializeToString()
    options = _options()
    options.optimized_model_filepath = str(path)
    try:
        _session(content, options)
    except ExportError as error:
        _session(content, _options())  # refuses the model too, if that is what is wrong
        raise StorageError(
            f"the runtime's graph could not be written to {folder}; free some space there, or let "
            "TMPDIR name another folder, then run the same command again."
        ) from error
    return onnx.load(path)


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def _session(content: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own kinds, one per status code
        raise ExportError(f"ONNX Runtime refuses the written model: {error}") from error
