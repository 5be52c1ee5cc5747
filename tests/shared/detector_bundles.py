"""Bundles of small detectors, made by the real pipeline."""

from dataclasses import replace
from pathlib import Path

from small_detectors import Detector, boxed_data, detector

from edgewise.bundle import Bundle
from edgewise.data.dataset import Dataset
from edgewise.devices.device import Device
from edgewise.models.load import Loaded
from edgewise.pipeline.compress import compress
from edgewise.pipeline.request import Request
from edgewise.presets import INT8
from edgewise.progress import silent
from edgewise.recipe import Recipe
from edgewise.steps.qat import GENTLE, Qat
from edgewise.targets.onnx.target import OnnxTarget

TRAINED = Recipe(
    "int8-qat", (Qat(schedule=replace(GENTLE, epochs=1, batch_size=8, shift=0, flip=False)),)
)


def request_of(out: Path, device: Device, module: Detector | None = None,
               data: Dataset | None = None) -> Request:  # fmt: skip
    """int8 of a detector that declares everything, on images with boxes, or of what is given."""
    given = boxed_data() if data is None else data
    model = Loaded("small", "net.py:make", detector() if module is None else module, inputs={})
    return Request(model, given, given.contract, (INT8,), OnnxTarget(), out, device)


def make(request: Request) -> Bundle:
    return compress(request, silent)
