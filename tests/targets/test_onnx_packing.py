"""Codes below 8 bits in the file: their values, their bytes, and what a runtime must know."""

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from network_parts import quantized_layers
from onnx import TensorProto, helper, numpy_helper
from target_recipes import narrow
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.graph.network import Network
from edgewise.quant.scheme import WIDTHS
from edgewise.recipe import Compressed, Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.store_weights import StoreWeights
from edgewise.targets.onnx import session
from edgewise.targets.onnx.inspect import inspect_artifact
from edgewise.targets.onnx.packing import find_packing, pack
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import write

Made = Callable[[str, int], Compressed]

STORED = {2: TensorProto.INT2, 3: TensorProto.INT4, 4: TensorProto.INT4, 8: TensorProto.INT8}
TYPES = {2: ml_dtypes.int2, 4: ml_dtypes.int4}


@pytest.fixture(scope="session")
def made(captured: Callable[[str], Network], tiny_data: Dataset) -> Made:
    """A tiny network with weights of that many bits."""

    def make(name: str, bits: int) -> Compressed:
        return narrow(bits, 8).apply(captured(name), tiny_data.split("calibration"))

    return make


def test_a_width_is_stored_in_the_narrowest_type_that_holds_it() -> None:
    assert {bits: getattr(find_packing(bits), "bits", 8) for bits in WIDTHS} == {
        2: 2, 3: 4, 4: 4, 8: 8,
    }  # fmt: skip


@pytest.mark.parametrize("bits", [2, 4])
@given(data=st.data())
def test_packed_codes_are_what_onnx_packs(bits: int, data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=5))
    within = st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    codes = data.draw(hnp.arrays(np.int8, shape, elements=within))
    packed = pack(codes, bits)
    theirs = numpy_helper.from_array(codes.astype(TYPES[bits]))
    assert packed.tobytes() == theirs.raw_data
    assert packed.size == -(-codes.size * bits // 8)


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_file_holds_a_layers_codes_in_as_many_bytes_as_they_need(
    bits: int, tiny_name: str, made: Made
) -> None:
    network = made(tiny_name, bits).network
    model = write(network).model
    stored = {init.name: init for init in model.graph.initializer}
    layers = quantized_layers(network)
    for name, layer in layers.items():
        weight = stored[f"{name}.weight.{'codes' if bits == 8 else 'packed'}"]
        width = {2: 2, 3: 4, 4: 4, 8: 8}[bits]
        assert weight.data_type == STORED[bits]
        assert len(weight.raw_data) == -(-layer.weight_codes.numel() * width // 8)
        values = numpy_helper.to_array(weight).astype(np.int8)
        assert np.array_equal(values, layer.weight_codes.numpy())
    of_weights = sum(
        int(np.prod(init.dims)) for init in stored.values() if init.data_type == STORED[bits]
    )
    zero_points = sum(len(layer.scale) for layer in layers.values()) if bits == 8 else 0
    codes = sum(layer.weight_codes.numel() for layer in layers.values())
    assert of_weights == codes + zero_points, "no second copy of the weights"


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_model_asks_for_no_newer_runtime_than_its_types_need(
    bits: int, tiny_name: str, made: Made
) -> None:
    model = write(made(tiny_name, bits).network).model
    assert (model.opset_import[0].version, model.ir_version) == (
        (25, 13) if bits == 2 else (21, 10)
    )
    ours = {row[2]: row[1] for row in helper.VERSION_TABLE}  # opset -> IR that it came with
    assert model.ir_version == ours[model.opset_import[0].version]


@pytest.mark.parametrize("bits", WIDTHS)
def test_layers_of_any_width_run_on_the_integer_kernels_of_eight_bits(
    bits: int, tiny_name: str, made: Made, tiny_images: Tensor, tmp_path: Path
) -> None:
    export = made(tiny_name, bits).export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert export.integer_share == 1
    assert {one.operator for one in export.executions} <= {"QLinearConv", "QGemm"}
    assert (export.worst, export.free_running) == (0, 0)
    far = torch.cat([tiny_images * 100, -tiny_images * 100])
    again = made(tiny_name, bits).export(OnnxTarget(), tmp_path / "m.onnx", far)
    assert again.worst <= 1
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)


@pytest.mark.parametrize("bits", WIDTHS)
def test_stored_weights_are_codes_in_the_file_and_floats_once_it_is_loaded(
    bits: int, captured: Callable[[str], Network], tiny_images: Tensor, tmp_path: Path
) -> None:
    made = Recipe("stored", (Fold(), StoreWeights(bits))).apply(captured("plain"))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert not any(one.integer or one.meant for one in export.executions)
    layers = inspect_artifact(export.path)
    width = {2: 2, 3: 4, 4: 4, 8: 8}[bits]
    assert {one.stored for one in layers} == {f"int{width}"}
    assert {one.activations for one in layers} == {"float"}
    for one in layers:
        assert one.size_bytes == -(-one.weights * width // 8)
    assert "unknown" not in {one.operator for one in layers}
    loaded = session.optimized(onnx.load(export.path), tmp_path).graph
    assert not {"Cast", "Mul", "DequantizeLinear"} & {node.op_type for node in loaded.node}
