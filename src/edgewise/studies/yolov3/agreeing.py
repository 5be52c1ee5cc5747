"""YOLOv3-tiny with its published weights: how much of what it finds compression keeps.

On photographs without labels, so agreement with its own float detections, never precision.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from edgewise import store
from edgewise.data import registry
from edgewise.data.composed.pieces import photographs
from edgewise.data.darknet import PHOTOGRAPHS, class_names
from edgewise.data.dataset import ArrayImages, Split
from edgewise.data.letterbox import letterbox
from edgewise.data.preprocess import whole
from edgewise.devices.local import LocalDevice
from edgewise.dispatch import Variant
from edgewise.graph.network import Network
from edgewise.inference import run_detector
from edgewise.models.load import load_model
from edgewise.pipeline.network import captured
from edgewise.presets import FLOAT32, INT8
from edgewise.recipe import Recipe
from edgewise.spotting import Found
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.prune_links import PruneLinks
from edgewise.steps.quantize import Quantize
from edgewise.studies.yolov3.cells import PARTS, Partial
from edgewise.studies.yolov3.networks import decoder_of
from edgewise.study import Bench
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Target
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.tasks.detection.agreement import agreement
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.suppression import Suppression

MODEL = "yolov3-tiny"
_SHAPE = (3, 416, 416)
_SUPPRESSION = Suppression(score=0.1)
_SHOWN = 0.25  # detections with a higher score are stored
_PRUNED = (0.3, 0.5)  # of the links


def agreement_cell(bench: Bench) -> Any:
    """A row an artifact: how many of the float network's sure detections it repeats.

    Raises DataError where weights or photographs are not fetched.
    """
    torch.set_num_threads(1)
    folder = registry.fetched("darknet")
    weights = folder / f"{MODEL}.weights"
    network = captured(load_model(MODEL, weights), whole(_SHAPE))
    calibration = _split("calibration", photographs(registry.fetched("composed-voc"), "darknet"))
    test = _split("test", [_opened(folder / name) for name in PHOTOGRAPHS])
    batch = torch.from_numpy(next(calibration.batches(2, network.contract)))
    reading = decoder_of(network), _SUPPRESSION
    rows: list[dict[str, Any]] = []
    reference: Found = ()
    for target, name, recipe in _wanted(network):
        placed = recipe.placed_for(target.profile)
        made = placed.apply(network, calibration, bench.progress)
        path = bench.scratch / f"{name}{target.suffix}"
        export = made.export(target, path, batch)
        variant = Variant(name, path, target.runtime)
        with LocalDevice() as device:
            found = run_detector(device, variant, test, network.contract, bench.progress, reading)
        reference = reference or found
        same = agreement(reference, found)
        file = {"size_bytes": export.size_bytes, "worst_code": export.worst}
        shown = [_drawn(one) for one in found]
        rows.append({"name": name, "runtime": target.runtime, **file, **asdict(same),
                     "found": shown})  # fmt: skip
    return {
        "rows": rows,
        "classes": list(class_names(folder / "coco.names")),
        "photographs": list(PHOTOGRAPHS),
        "calibrated": len(calibration),
        "weights": store.digest_file(weights),
    }


def _wanted(network: Network) -> Iterator[tuple[Target, str, Recipe]]:
    """Target, name and recipe of every artifact; the first is the reference."""
    onnx, litert = OnnxTarget(), LiteRtTarget()
    outputs = network.float_outputs
    yield onnx, "float32", FLOAT32
    for target in (onnx, litert):
        yield target, f"int8, {target.runtime}", INT8.with_kept_float(outputs)
    yield onnx, "int8 with outputs", INT8
    for part in PARTS:
        yield onnx, f"{part} int8", Partial((part,)).recipe(Quantize().scheme, outputs)
    last = Quantize(keep_float=tuple(outputs))
    for share in _PRUNED:
        links = PruneLinks(share, "magnitude", refit="bias", images=32)
        called = f"{share:.0%} of links pruned, nothing trained"
        yield onnx, called, Recipe("pruned", (Fold(), links))
        small = Recipe("pruned-int8", (Fold(), links, Calibrate(), last))
        yield onnx, f"{called}, int8", small


def _drawn(found: Detections) -> list[list[float]]:
    """Class, score, left, top, right, bottom of what people would be shown."""
    sure = found.above(_SHOWN)
    return [
        [int(label), round(float(score), 3), *(round(float(edge), 1) for edge in box)]
        for label, score, box in zip(sure.classes, sure.scores, sure.boxes, strict=True)
    ]


def _split(name: str, images: list[Image.Image]) -> Split:
    pixels = np.stack([letterbox(image, _SHAPE) for image in images])
    return Split(name, ArrayImages(pixels), None, store.digest(pixels.tobytes()))


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
