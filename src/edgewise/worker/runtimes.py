"""What runs an artifact: one file here for each runtime, and the artifacts that it takes."""

from __future__ import annotations

from .packed import SUFFIX

# Only the one that a job names is loaded, since a board has only one.
RUNTIMES = {"onnxruntime": "ort", "litert": "litert", "openvino": "openvino"}
# The first is what runs such a file where nobody asks for another.
_SUFFIXES = {".onnx": ("onnxruntime", "openvino"), ".tflite": ("litert",)}


def runtimes_of(name: str) -> tuple[str, ...]:
    """What can run an artifact of that file name, packed or not, the usual one first.

    ONNX Runtime alone where the name does not say.
    """
    plain = name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name
    found = (runtimes for end, runtimes in _SUFFIXES.items() if plain.endswith(end))
    return next(found, ("onnxruntime",))


def runtime_of(name: str) -> str:
    """What runs an artifact of that file name where nobody asks for another."""
    return runtimes_of(name)[0]
