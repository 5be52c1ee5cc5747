"""Layers quantized by their own input's range, against ONNX's own definition of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from edgewise.graph.layer import Form, WeightedLayer
from edgewise.quant.dynamic import DynamicLayer, quantize_by_own_range
from edgewise.quant.scheme import INT8

GEOMETRY = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 1]}


@pytest.fixture(scope="session")
def definition() -> ReferenceEvaluator:
    """DynamicQuantizeLinear as ONNX's reference runs it."""
    names = ["codes", "scale", "zero_point"]
    kinds = [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.UINT8]
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], names)],
        "definition",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [
            helper.make_tensor_value_info(name, kind, None)
            for name, kind in zip(names, kinds, strict=True)
        ],
    )
    return ReferenceEvaluator(helper.make_model(graph))


FLOATS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
TIES = st.integers(-600, 600).map(lambda half: half / 2)


@given(
    st.one_of(
        hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=6), elements=FLOATS),
        hnp.arrays(np.float32, st.integers(1, 30), elements=TIES),
        hnp.arrays(np.float32, 4, elements=st.just(0)),
    )
)
def test_codes_scale_and_zero_point_are_those_that_onnx_defines(
    definition: ReferenceEvaluator, values: NDArray[np.float32]
) -> None:
    codes, scale, zero = definition.run(None, {"x": values})
    found = quantize_by_own_range(torch.from_numpy(values)[None])
    assert np.array_equal(found.codes[0].numpy(), codes)
    assert found.scale.item() == float(scale)
    assert found.zero_point.item() == int(zero)


@pytest.mark.parametrize(
    ("values", "codes", "zero"),
    [
        ([0.0, 255.0, 0.5, 1.5, 2.5], [0, 255, 0, 2, 2], 0),  # ties to even
        ([-255.0, 0.0, -100.0], [0, 255, 155], 255),  # zero is the highest code
        ([10.0, 255.0], [10, 255], 0),  # zero is in a range that does not reach it
        ([0.0, 0.0], [0, 0], 0),
    ],
)
def test_what_can_be_told_by_hand(values: list[float], codes: list[float], zero: float) -> None:
    found = quantize_by_own_range(torch.tensor([values]))
    assert found.codes[0].tolist() == codes
    assert found.zero_point.item() == zero


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3]))
def test_an_image_has_the_codes_that_it_has_alone(seed: int, rows: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(4 * rows, 3, 2, generator=draw) * torch.arange(1, 4 * rows + 1).view(
        -1, 1, 1
    )
    together = quantize_by_own_range(values, rows)
    for at in range(0, 4 * rows, rows):
        alone = quantize_by_own_range(values[at : at + rows].reshape(1, -1))
        assert torch.equal(together.codes[at : at + rows].reshape(1, -1), alone.codes)
        assert set(together.scale[at : at + rows].flatten().tolist()) == {alone.scale.item()}


def layer(kind: str, groups: int, bias: bool, seed: int) -> DynamicLayer:
    draw = torch.Generator().manual_seed(seed)
    shape = (6, 4 // groups, 3, 2) if kind == "conv2d" else (6, 4)
    geometry = {**GEOMETRY, "groups": groups} if kind == "conv2d" else {}
    weight = nn.Parameter(torch.randn(shape, generator=draw), requires_grad=False)
    shift = nn.Parameter(torch.randn(6, generator=draw), requires_grad=False) if bias else None
    return DynamicLayer(WeightedLayer(Form(kind, "x", geometry), weight, shift), INT8.weights)


def expected(made: DynamicLayer, image: NDArray[np.float32], linear: bool) -> NDArray[np.float32]:
    """The layer as ONNX's reference operators compute it."""
    weight = made.weight_codes.numpy()
    tensors = {"w": weight.T.copy() if linear else weight}
    shape = (-1,) if linear else (-1, 1, 1)
    tensors["own"] = made.scale.numpy().reshape(shape)
    tensors["b"] = np.zeros(6, np.float32) if made.bias is None else made.bias.numpy()
    tensors["b"] = tensors["b"].reshape(shape)
    geometry = {} if linear else {"strides": [2, 1], "pads": [1, 0, 1, 0],
                                  "group": made.form.geometry["groups"]}  # fmt: skip
    operator = "MatMulInteger" if linear else "ConvInteger"
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node(operator, ["q", "w", "z"], ["sums"], **geometry),
        helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "own"], ["step"]),
        helper.make_node("Mul", ["floats", "step"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    result: NDArray[np.float32] = ReferenceEvaluator(helper.make_model(graph)).run(
        None, {"x": image}
    )[0]
    return result


@pytest.mark.parametrize(("kind", "groups"), [("conv2d", 1), ("conv2d", 2), ("linear", 1)], ids=str)
@given(seed=st.integers(0, 2**32 - 1), bias=st.booleans(), shift=st.sampled_from([0, 3, -3]))
def test_a_layer_is_what_onnx_operators_compute_to_the_last_bit(
    kind: str, groups: int, seed: int, bias: bool, shift: float
) -> None:
    made = layer(kind, groups, bias, seed)
    draw = torch.Generator().manual_seed(seed + 1)
    shape = (3, 4, 5, 4) if kind == "conv2d" else (3, 4)
    images = torch.randn(shape, generator=draw) + shift
    with torch.no_grad():
        ours = made(images)
    for image, found in zip(torch.split(images, 1), ours, strict=True):
        theirs = expected(made, image.numpy(), kind == "linear")
        assert np.array_equal(found.numpy()[None], theirs)


def test_weights_are_the_nearest_codes_and_the_float_layer_is_near() -> None:
    made = layer("conv2d", 1, True, 0)
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, 3, 2, generator=draw)
    step = made.scale.view(-1, 1, 1, 1)
    codes = torch.clamp(torch.round(weight / step), -127, 127)
    assert torch.equal(made.weight_codes.float(), codes)
    images = torch.randn(2, 4, 5, 4, generator=draw)
    with torch.no_grad():
        floats = made.form.run(images, weight, made.bias)
        assert 0 < float((made(images) - floats).abs().max()) < 0.03 * float(floats.abs().max())
