"""Every target, and how tests run, look into and spoil what it writes."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from target_recipes import W4A4, W4A8
from tflite_file import operators
from torch import Tensor

from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from edgewise.recipe import Compressed, Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.store_weights import StoreWeights
from edgewise.targets.onnx import session as onnx_session
from edgewise.targets.onnx import target as onnx_module
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.openvino import session as openvino_session
from edgewise.targets.openvino import target as openvino_module
from edgewise.targets.openvino.target import OpenVinoTarget
from edgewise.targets.target import Export, Target
from edgewise.targets.tflite import session as litert_session
from edgewise.targets.tflite import target as tflite_module
from edgewise.targets.tflite.target import LiteRtTarget

Run = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Kind:
    """A target, and what is not the same of every target.

    module: where it writes and checks; recipes: whose artifacts take any batch; load: an artifact
    into its runtime, as users do; load_plainly: without what the runtime makes faster; on_codes:
    whether nothing but the ends of what the runtime executes is float; multiply_scale: of the
    weights of a node's layer, in a written model; exact: operations whose codes are the twin's.
    """

    target: Target
    module: ModuleType
    recipes: tuple[Recipe, ...]
    load: Callable[[Path], Run]
    load_plainly: Callable[[Path], Run]
    on_codes: Callable[[Path], bool]
    multiply_scale: Callable[[Any, str, float], None]
    exact: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def file(self) -> str:
        """A name of a file that users would give."""
        return f"m{self.target.suffix}"

    def place(self, recipe: Recipe) -> Recipe:
        """The recipe with quantizers where this target wants them."""
        return recipe.placed_for(self.target.profile)


Case = tuple[Kind, Recipe]
Exported = Callable[[Kind, str, Recipe], tuple[Compressed, Export]]
Plant = Callable[[Kind, Callable[[Any], None]], None]


def multiply(model: onnx.ModelProto, name: str, factor: float) -> None:
    """Multiply an initializer's values."""
    (stored,) = (one for one in model.graph.initializer if one.name == name)
    values = numpy_helper.to_array(stored) * np.float32(factor)
    stored.CopyFrom(numpy_helper.from_array(values, name))


def _multiply_onnx_scale(model: onnx.ModelProto, layer: str, factor: float) -> None:
    multiply(model, f"{layer}.weight.scale", factor)


def _multiply_tflite_scale(model: Any, layer: str, factor: float) -> None:
    (tensor,) = (one for one in model.subgraphs[0].tensors if one.name == f"{layer}.weight")
    tensor.quantization.scale = np.float32(factor) * tensor.quantization.scale


def _load_onnx(path: Path, options: onnxruntime.SessionOptions | None = None) -> Run:
    runtime = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: runtime.run(None, {"input": images.numpy()})[0]


def _load_onnx_plainly(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _load_onnx(path, options)


def _load_tflite(path: Path, xnnpack: bool = True) -> Run:
    run = litert_session.runner(path.read_bytes(), xnnpack)
    return lambda images: run(images.numpy())[0]


def _load_tflite_plainly(path: Path) -> Run:
    return _load_tflite(path, xnnpack=False)


def _load_openvino(path: Path) -> Run:
    """One image at a time, as the runtime is used."""
    model = onnx.load(path)
    return lambda images: openvino_session.run(model, images.numpy()).outputs[0]


def _openvino_on_codes(path: Path) -> bool:
    """What reads floats makes codes of the image."""
    model = onnx.load(path)
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    found = openvino_session.run(model, np.zeros((1, *shape[1:]), np.float32)).operators
    computing = [one for one in found if one.kind not in ("Input", "Output", "Reorder", "Reshape")]
    return [one.on_integers for one in computing] == [False, *[True] * (len(computing) - 1)]


def _onnx_on_codes(path: Path) -> bool:
    """One conversion at the input and one at the output."""
    graph = onnx_session.optimized(onnx.load(path), path.parent).graph
    kinds = [node.op_type for node in graph.node]
    return kinds.count("QuantizeLinear") + kinds.count("DequantizeLinear") == 2


def _tflite_on_codes(path: Path) -> bool:
    """One conversion to floats; QUANTIZE also stands between codes of two scales."""
    return [one.name for one in operators(path)].count("DEQUANTIZE") == 1


ONNX = Kind(
    OnnxTarget(), onnx_module,
    (FLOAT32, FP16, INT8_WEIGHTS, Recipe("int2-weights", (Fold(), StoreWeights(2))), INT8, W4A4),
    _load_onnx, _load_onnx_plainly, _onnx_on_codes, _multiply_onnx_scale,
    exact=frozenset({"input", "quantizedlayer"}),  # the rest is computed in float32
)  # fmt: skip
TFLITE = Kind(
    LiteRtTarget(), tflite_module,
    (FLOAT32, FP16, INT8_WEIGHTS, INT8_DYNAMIC, INT8, W4A8, W4A4),
    _load_tflite, _load_tflite_plainly, _tflite_on_codes, _multiply_tflite_scale,
)  # fmt: skip
OPENVINO = Kind(
    OpenVinoTarget(), openvino_module, (FLOAT32, FP16, INT8_WEIGHTS, INT8, W4A8, W4A4),
    _load_openvino, _load_onnx_plainly, _openvino_on_codes, _multiply_onnx_scale,
)  # fmt: skip
KINDS = (ONNX, TFLITE, OPENVINO)
CASES: tuple[Case, ...] = tuple((kind, recipe) for kind in KINDS for recipe in kind.recipes)


def is_absent(kind: Kind) -> bool:
    """Whether what checks its artifacts is an extra that is not installed."""
    return kind.target.needs is not None and find_spec(kind.target.needs) is None


def case_name(case: Case) -> str:
    return f"{case[0].name}-{case[1].name}"
