"""Our post-training quantization of the full-size YOLOv3 as one process, from images to a file.

Arguments: number of calibration images, and the output. Weights are random and BatchNorm's
statistics those of some images: for memory and time alone.
"""

import sys
from pathlib import Path

import torch

from benchmarks import contender
from edgewise.data import registry
from edgewise.graph.capture import capture
from edgewise.presets import INT8
from edgewise.progress import silent
from edgewise.studies.yolov3.measuring import exact
from edgewise.targets.onnx.target import OnnxTarget

SHAPE = (3, 416, 416)
_CHECKED = 2


def main(images: str, out: str) -> None:
    data = registry.load("composed-voc", None, SHAPE)
    calibration = data.split("calibration")
    if len(calibration) < int(images):
        sys.exit(f"composed-voc has {len(calibration)} calibration images, not {images}.")
    network = capture(exact(data), data.contract, "yolov3")
    recipe = INT8.with_float_outputs(network).calibrated_on(int(images))
    made = recipe.apply(network, calibration, silent)
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, data.contract)))
    made.export(OnnxTarget(), Path(out), batch)


if __name__ == "__main__":
    contender.run(main)
