"""ONNX Runtime's static quantizer as one process: MinMax ranges, int8 weights per channel.

Arguments: float model, pixels, contract, number of images, output, type of activations (u8 or s8),
or `config` for the options that it chooses for a model by itself: every operation, uint8.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import quantization

from benchmarks import contender
from edgewise.data.preprocess import Preprocessing

_TYPES = {"u8": quantization.QuantType.QUInt8, "s8": quantization.QuantType.QInt8}

Feed = dict[str, NDArray[np.float32]]


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands out batches until there are none."""

    def __init__(self, feeds: Iterator[Feed]) -> None:
        self._feeds = feeds

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def main(model: str, pixels: str, contract: str, images: str, out: str, kind: str) -> None:
    prepared = Preprocessing.from_json(json.loads(Path(contract).read_text()))
    stored = np.load(pixels, mmap_mode="r")[: int(images)]
    size = contender.batch_of(prepared.height, prepared.width)
    starts = range(0, len(stored), size)
    reader = Reader({"input": prepared.apply(stored[at : at + size])} for at in starts)
    if kind == "config":
        config = quantization.get_qdq_config(
            model, reader, weight_type=quantization.QuantType.QInt8, per_channel=True
        )
        quantization.quantize(model, out, config)
        return
    quantization.quantize_static(
        model,
        out,
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=_TYPES[kind],
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )


if __name__ == "__main__":
    contender.run(main)
