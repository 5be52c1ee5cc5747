"""Table 1's other half: file, time and memory of the exact network at 416x416, in two runtimes."""

from typing import Any

import torch
from torch import nn

from edgewise.data.dataset import Dataset
from edgewise.data.letterbox import letterboxed
from edgewise.dispatch import Variant
from edgewise.graph.averaging import averaging
from edgewise.graph.capture import capture
from edgewise.graph.cost import layer_costs
from edgewise.graph.network import Network
from edgewise.measure import Inputs
from edgewise.models.builtin import build
from edgewise.presets import FLOAT32
from edgewise.presets import INT8 as INT8_PRESET
from edgewise.quant.scheme import INT8
from edgewise.recipe import Recipe
from edgewise.studies import measured
from edgewise.studies.yolov3.cells import PARTS, Partial
from edgewise.study import Bench
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Target
from edgewise.targets.tflite.target import LiteRtTarget

SIDE = 416
_CHECKED, _CALIBRATED, _TIMED, _SEEN = 2, 16, 8, 8


def measure_exact(data: Dataset, label: str, url: str, name: str, bench: Bench) -> Any:
    """Write and measure the paper's network as float32, int8, and int8 in parts; name: of the cell.

    label: of the protocol; url: of the device. Weights are random, which changes neither time nor
    size, and BatchNorm's statistics those of real images, so that no signal dies out. The artifacts
    are verified as every export is, and not kept; raw samples are.
    """
    large = letterboxed(data, (3, SIDE, SIDE))
    contract = large.contract
    network = capture(exact(large), contract, "yolov3")
    calibration = large.split("calibration").head(_CALIBRATED)
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, contract)))
    variants, files = [], {}
    for target, called, recipe in _wanted(network):
        path = bench.scratch / f"{target.name}-{called}{target.suffix}"
        placed = recipe.placed_for(target.profile)
        made = placed.apply(network, calibration, bench.progress)
        export = made.export(target, path, batch)
        variant = Variant(f"{called}, {target.runtime}", path, target.runtime)
        variants.append(variant)
        floats = [one.layer for one in export.executions if not one.integer]
        layers = {"layers": len(export.executions), "float_layers": floats}
        files[variant.name] = {"worst_code": export.worst, **layers}
    inputs = Inputs(large.split("test").images.read(0, _TIMED), contract)
    found = measured.take(variants, inputs, label, url, name, bench)
    weights = sum(parameter.numel() for parameter in network.module.parameters())
    macs = sum(cost.macs for cost in layer_costs(network))
    return {**found, "files": files, "parameters": weights, "macs": macs}


def exact(data: Dataset) -> nn.Module:
    """The paper's network with random weights, its statistics those of some images."""
    torch.manual_seed(0)
    module = build("yolov3", {})
    images = torch.from_numpy(next(data.split("train").batches(_SEEN, data.contract)))
    with torch.no_grad(), averaging(module.eval()):
        module(images)
    return module


def _wanted(network: Network) -> list[tuple[Target, str, Recipe]]:
    """Target, name and recipe of every artifact; the first is what all are compared with."""
    onnx, litert = OnnxTarget(), LiteRtTarget()
    outputs = network.float_outputs
    all_of_it = Partial(PARTS, outputs=True)
    alone = [Partial((part,)) for part in PARTS]
    return [
        (onnx, "float32", FLOAT32),
        (litert, "float32", FLOAT32),
        *((target, "int8", INT8_PRESET.with_float_outputs(network)) for target in (onnx, litert)),
        *((target, "int8 with outputs", all_of_it.recipe(INT8, outputs))
          for target in (onnx, litert)),
        *((onnx, f"{one.name} int8", one.recipe(INT8, outputs)) for one in alone),
    ]  # fmt: skip
