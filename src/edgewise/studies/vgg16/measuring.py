"""Table 4: inference time, file and memory of float, fp16 and int8 on a device."""

from typing import Any

import torch

from edgewise.data.dataset import Dataset
from edgewise.dispatch import Variant
from edgewise.graph.capture import capture
from edgewise.measure import Inputs
from edgewise.models.builtin import build
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.studies import measured
from edgewise.study import Bench
from edgewise.targets.onnx.target import OnnxTarget

# How low bits are come by changes neither time nor size: the quick way here, training in table 3.
_LOW_BITS = tuple(
    Recipe(scheme.name, (Fold(), Calibrate(), Quantize(scheme)))
    for scheme in (Scheme(4, 8), Scheme(4, 4), Scheme(2, 8), Scheme(2, 2))
)
RECIPES = (FLOAT32, FP16, INT8, *_LOW_BITS, INT8_DYNAMIC)
_CHECKED, _TIMED = 16, 32


def measure_variants(data: Dataset, label: str, url: str, name: str, bench: Bench) -> Any:
    """Write and measure them, interleaved; name: of the cell.

    label: of the protocol, quick or full; url: of the device. The network is the paper's, of full
    width; its weights are random, which changes neither time nor size. The artifacts are verified
    as every export is, and not kept; raw samples are.
    """
    torch.manual_seed(0)
    module = build("vgg16", {"width": 1.0, "classes": len(data.classes)})
    network = capture(module, data.contract, "vgg16")
    calibration, test = data.split("calibration"), data.split("test")
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, data.contract)))
    variants = []
    for recipe in RECIPES:
        path = bench.scratch / f"{recipe.name}.onnx"
        made = recipe.apply(network, calibration, bench.progress)
        made.export(OnnxTarget(), path, batch)
        variants.append(Variant(recipe.name, path))
    inputs = Inputs(test.images.read(0, _TIMED), data.contract)
    return measured.take(variants, inputs, label, url, name, bench)
