"""NNCF's post-training quantization of an ONNX model as one process.

Arguments: float model, pixels, contract, number of images, output, and `plain` to leave out bias
correction, which edgewise and ONNX Runtime do not do either.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx

# NNCF does not need torch for ONNX, and loads it where it is there: a second of its time.
sys.modules["torch"] = None  # type: ignore[assignment]

import nncf  # noqa: E402 - after what it must not find

from benchmarks import contender  # noqa: E402
from edgewise.data.preprocess import Preprocessing  # noqa: E402


def main(model: str, pixels: str, contract: str, images: str, out: str, *plain: str) -> None:
    prepared = Preprocessing.from_json(json.loads(Path(contract).read_text()))
    stored = np.load(pixels, mmap_mode="r")[: int(images)]
    size = contender.batch_of(prepared.height, prepared.width)
    starts = range(0, len(stored), size)
    feeds = [{"input": prepared.apply(stored[start : start + size])} for start in starts]
    advanced = nncf.AdvancedQuantizationParameters(disable_bias_correction=bool(plain))
    quantized = nncf.quantize(
        onnx.load(model),
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        advanced_parameters=advanced,
    )
    onnx.save(quantized, out)


if __name__ == "__main__":
    contender.run(main)
