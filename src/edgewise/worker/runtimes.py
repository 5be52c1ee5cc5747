"""What runs an artifact: one file here for each runtime, and the artifacts that it takes."""

from __future__ import annotations

from .packed import SUFFIX

# Only the one that a job names is loaded, since a board has only one.
RUNTIMES = {"onnxruntime": "ort", "litert": "litert"}
_SUFFIXES = {".onnx": "onnxruntime", ".tflite": "litert"}


def runtime_of(name: str) -> str:
    """What runs an artifact of that file name, packed or not; ONNX Runtime where nothing says."""
    plain = name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name
    return next((runtime for end, runtime in _SUFFIXES.items() if plain.endswith(end)),
                "onnxruntime")  # fmt: skip
