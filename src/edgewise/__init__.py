"""Make a trained CNN fit a small device, and prove that it still works.

The public names, loaded when they are first used: importing the package alone costs nothing.
"""

from typing import Any

from edgewise.loading import load_module

PUBLIC = {
    "Calibrate": "edgewise.steps.calibrate",
    "Dynamic": "edgewise.steps.dynamic",
    "EdgewiseError": "edgewise.errors",
    "Fold": "edgewise.steps.fold",
    "Half": "edgewise.steps.half",
    "INT8": "edgewise.quant.scheme",
    "LiteRtTarget": "edgewise.targets.tflite.target",
    "OnnxTarget": "edgewise.targets.onnx.target",
    "OpenVinoTarget": "edgewise.targets.openvino.target",
    "PRESETS": "edgewise.presets",
    "Preprocessing": "edgewise.data.preprocess",
    "Quantize": "edgewise.steps.quantize",
    "Recipe": "edgewise.recipe",
    "Scheme": "edgewise.quant.scheme",
    "StoreWeights": "edgewise.steps.store_weights",
    "Variant": "edgewise.dispatch",
    "capture": "edgewise.graph.capture",
    "connect": "edgewise.devices.url",
    "load_data": "edgewise.data.registry",
    "load_model": "edgewise.models.load",
    "measure": "edgewise.measure",
}
_NAMED_OTHERWISE = {"load_data": "load"}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'edgewise' has no attribute '{name}'")
    module = load_module(PUBLIC[name])
    return getattr(module, _NAMED_OTHERWISE.get(name, name))


def __dir__() -> list[str]:
    return sorted(PUBLIC)
