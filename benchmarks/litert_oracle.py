"""LiteRT's own converter and quantizer as one process: the same networks, their way.

Each folder in the command line holds what benchmarks.oracle gave, and gets the artifacts. It runs
in an interpreter of its own, and so imports nothing of edgewise.
"""

import json
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe
from ai_edge_quantizer.recipe_manager import RecipeManager
from ai_edge_quantizer.utils import qsv_utils
from numpy.typing import NDArray

from benchmarks import contender
from benchmarks.oracle import FLOAT, IMAGES, INT8, INT8_MIN_MAX, PACKAGES, PROGRAM

_MADE_BY = ("litert-torch", "ai-edge-quantizer", "litert-converter", "torch")

Ranges = Mapping[str, Any]
Merge = Callable[[Ranges, Ranges], Ranges]


def main(*folders: str) -> None:
    for folder in map(Path, folders):
        images = np.load(folder / IMAGES)
        convert(folder / PROGRAM, images[:1], folder / FLOAT)
        # Their own way is a moving average of what single images show.
        quantize(folder / FLOAT, images, qsv_utils.moving_average_update, folder / INT8)
        quantize(folder / FLOAT, images, qsv_utils.min_max_update, folder / INT8_MIN_MAX)
        made_by = {name: metadata.version(name) for name in _MADE_BY}
        (folder / PACKAGES).write_text(json.dumps(made_by))


def convert(program: Path, image: NDArray[np.float32], out: Path) -> None:
    """Float, for one image at a time, which is what gets measured."""
    module = torch.export.load(program).module()
    litert_torch.convert(module, (torch.from_numpy(image),)).export(str(out))


def quantize(model: Path, images: NDArray[np.float32], merge: Merge, out: Path) -> None:
    """Static int8 by their own recipe, except that floats go in and come out, as with ours."""
    made = quantizer.Quantizer(str(model), recipe.static_wi8_ai8())
    nothing = algorithm_manager.AlgorithmName.NO_QUANTIZE
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        made.update_quantization_recipe(".*", end, algorithm_key=nothing)
    wanted = RecipeManager()
    wanted.load_quantization_recipe(made.get_quantization_recipe())
    seen = calibrator.Calibrator(str(model), num_threads=1, qsv_update_func=merge)
    ((signature, takes),) = seen.get_signature_list().items()
    (name,) = takes["inputs"]
    seen.calibrate({signature: [{name: image[None]} for image in images]}, wanted)
    made.quantize(seen.get_model_qsvs()).export_model(str(out), overwrite=True)


if __name__ == "__main__":
    contender.run(main)
