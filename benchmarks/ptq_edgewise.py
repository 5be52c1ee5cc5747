"""Our post-training quantization as one process, from weights and images to an int8 file.

Arguments: weights, pixels, number of images, output, and `verify` to check the file as well.
"""

import importlib
import json
import time
from pathlib import Path

import numpy as np

import edgewise
from benchmarks import contender
from edgewise import store
from edgewise.data.splits import array_split

_CHECKED = 8


def main(weights: str, pixels: str, images: str, out: str, *verify: str) -> None:
    loaded = edgewise.load_model("vgg16", Path(weights))
    stored = np.load(pixels, mmap_mode="r")[: int(images)]
    split = array_split("calibration", stored, None)
    steps = (edgewise.Fold(), edgewise.Calibrate(images=int(images)), edgewise.Quantize())
    network = edgewise.capture(loaded.module, loaded.contract, "vgg16")
    compressed = edgewise.Recipe("int8", steps).apply(network, split)
    path = Path(out)
    if not verify:  # not offered to users: the writer alone, without its checks
        writer = importlib.import_module("edgewise.targets.onnx.writer")
        content = writer.write(compressed.network).model.SerializeToString(deterministic=True)
        store.write_bytes(path, content)
        return
    torch = importlib.import_module("torch")  # by now loaded, by edgewise
    batch = next(split.head(_CHECKED).batches(_CHECKED, loaded.contract))
    start = time.perf_counter()
    compressed.export(edgewise.OnnxTarget(), path, torch.from_numpy(batch))
    took = {"verify_s": time.perf_counter() - start}
    path.with_suffix(".json").write_text(json.dumps(took))


if __name__ == "__main__":
    contender.run(main)
