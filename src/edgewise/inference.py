"""Run images through an artifact on a device."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.dataset import Split
from edgewise.data.preprocess import Floats, Preprocessing
from edgewise.devices.device import Device
from edgewise.dispatch import (
    INPUTS,
    OUTPUT,
    START_S,
    Variant,
    check,
    fetch,
    place,
    send_images,
    send_worker,
    work,
)
from edgewise.errors import DataError, DeviceError, ExportError, UsageError
from edgewise.progress import Progress
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections, from_rows
from edgewise.tasks.detection.suppression import Suppression

_IMAGE_S = 30.0  # at most, for one image
_CHUNK = 2000  # images sent at a time
_CHUNK_BYTES = 64_000_000
_BATCH = 16


def run_artifact(
    device: Device,
    artifact: Path,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    runtime: str = "onnxruntime",
) -> Floats:
    """The artifact's first output for every image of the split, on the device: (n, ...) float32.

    See stream_outputs; other outputs are let go part by part.
    """
    parts = stream_outputs(device, artifact, split, contract, progress, runtime)
    return np.concatenate([outputs[0].copy() for _, outputs in parts])


def run_outputs(
    device: Device,
    artifact: Path,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    runtime: str = "onnxruntime",
) -> tuple[Floats, ...]:
    """All outputs of the artifact for every image of the split, on the device: (n, ...) float32.

    See stream_outputs.
    """
    parts = stream_outputs(device, artifact, split, contract, progress, runtime)
    return tuple(map(np.concatenate, zip(*(outputs for _, outputs in parts), strict=True)))


def stream_outputs(
    device: Device,
    artifact: Path,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    runtime: str = "onnxruntime",
) -> Iterator[tuple[tuple[int, int], tuple[Floats, ...]]]:
    """First and last image, and all outputs for these, float32, one part of a split after another.

    Images go there in chunks, as stored pixels; the device prepares them by the same contract.
    Raises ExportError, naming the first image, when an output is not finite.
    """
    variant = Variant(artifact.name, artifact, runtime)
    for (start, stop), answer, rows in _answers(device, variant, split, contract, progress):
        if len(rows) != stop - start:
            raise DeviceError(
                f"{device.url}: {artifact.name} answered {stop - start} images with {len(rows)}."
            )
        wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(wrong):
            raise ExportError(
                f"{artifact.name} gives values that are not finite, first for image "
                f"{start + wrong[0]} of {split.name}; its weights or scales are not sound."
            )
        yield (start, stop), _outputs(rows, answer, device)


def run_detector(
    device: Device,
    variant: Variant,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    reading: tuple[Decoder, Suppression],
) -> tuple[Detections, ...]:
    """The objects that an artifact finds in every image of the split, on the device.

    Its outputs become objects there, by reading's decoder and suppression, and never travel.
    """
    decoder, suppression = (one.to_json() for one in reading)
    found: list[Detections] = []
    extra = {"decoder": decoder, "suppression": suppression}
    for (start, stop), _, rows in _answers(device, variant, split, contract, progress, extra):
        try:
            found.extend(from_rows(rows.astype(np.float32, copy=False), stop - start))
        except DataError as error:
            raise DeviceError(f"{device.url}: the worker's objects are none: {error}") from error
    return tuple(found)


def _answers(
    device: Device,
    variant: Variant,
    split: Split,
    contract: Preprocessing,
    progress: Progress,
    extra: Mapping[str, Any] | None = None,
) -> Iterator[tuple[tuple[int, int], Mapping[str, Any], NDArray[Any]]]:
    """Which images, the worker's answer, and the array that it wrote, chunk by chunk."""
    check([variant])
    send_worker(device)
    job = replace(place(device, variant, 0), mode="evaluate", output=OUTPUT, batch=_BATCH,
                  images=INPUTS, contract=contract.to_json(), **(extra or {}))  # fmt: skip
    stage, count = f"running {variant.artifact.name} on {device.url}", len(split)
    for start, stop in _chunks(split):
        progress(stage, start, count)
        send_images(device, split.images.read(start, stop))
        answer = work(device, job, variant.name, START_S + _IMAGE_S * (stop - start))
        yield (start, stop), answer, fetch(device)
    progress(stage, count, count)


def _outputs(rows: NDArray[Any], answer: Mapping[str, Any], device: Device) -> tuple[Floats, ...]:
    """A row of values an image as the outputs that it is made of."""
    try:
        shapes = [tuple(int(size) for size in shape) for shape in answer["shapes"]]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(rows.astype(np.float32, copy=False), ends[:-1], axis=1)
        return tuple(
            part.reshape(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(f"{device.url}: the worker's outputs are not whole: {error}.") from error


def _chunks(split: Split) -> list[tuple[int, int]]:
    """Ranges of images that are few enough, and small enough, to send at once."""
    if not len(split):
        raise UsageError(f"split '{split.name}' holds no images to run.")
    size = max(1, min(_CHUNK, _CHUNK_BYTES // max(1, split.images.read(0, 1).nbytes)))
    return [(start, min(start + size, len(split))) for start in range(0, len(split), size)]
