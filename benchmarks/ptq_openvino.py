"""NNCF's post-training quantization of an ONNX model for OpenVINO as one process.

Arguments: float model, pixels, contract, number of images, output (an .xml, with a .bin beside
it), and `plain` to leave out bias correction, which changes no speed.
"""

import json
import sys
from pathlib import Path

import numpy as np

# NNCF does not need torch here, and loads it where it is there.
sys.modules["torch"] = None  # type: ignore[assignment]

import nncf  # noqa: E402 - after what it must not find
import openvino  # noqa: E402

from benchmarks import contender  # noqa: E402
from edgewise.data.preprocess import Preprocessing  # noqa: E402


def main(model: str, pixels: str, contract: str, images: str, out: str, *plain: str) -> None:
    prepared = Preprocessing.from_json(json.loads(Path(contract).read_text()))
    stored = np.load(pixels, mmap_mode="r")[: int(images)]
    feeds = [prepared.apply(stored[place : place + 1]) for place in range(len(stored))]
    read = openvino.Core().read_model(model)
    read.reshape(list(feeds[0].shape))
    quantized = nncf.quantize(
        read,
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            disable_bias_correction=bool(plain)
        ),
    )
    openvino.save_model(quantized, out, compress_to_fp16=False)


if __name__ == "__main__":
    contender.run(main)
