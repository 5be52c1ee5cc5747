from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from edgewise.quant.affine import (
    affine_parameters,
    channel_scales,
    dequantize,
    quantize,
    symmetric_parameters,
)
from edgewise.quant.scheme import IntType

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)
KINDS = [IntType(bits, signed) for bits in (2, 3, 4, 8) for signed in (False, True)]
NUMBERS = st.floats(-1e6, 1e6, width=32)
Runtime = Callable[[NDArray[Any], float, int], NDArray[Any]]


def bounds(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)


@pytest.fixture(scope="module", params=[UINT8, INT8], ids=["uint8", "int8"])
def runtime(request: pytest.FixtureRequest) -> tuple[IntType, Runtime]:
    """QuantizeLinear of ONNX Runtime: codes of values for a scale and a zero point."""
    kind: IntType = request.param
    stored = TensorProto.INT8 if kind.signed else TensorProto.UINT8
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, []),
            helper.make_tensor_value_info("z", stored, []),
        ],
        [helper.make_tensor_value_info("y", stored, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=["CPUExecutionProvider"])  # fmt: skip
    dtype = np.int8 if kind.signed else np.uint8

    def run(values: NDArray[Any], scale: float, zero: int) -> NDArray[Any]:
        feeds = {"x": values, "s": np.asarray(scale, np.float32), "z": np.asarray(zero, dtype)}
        return np.asarray(session.run(None, feeds)[0])

    return kind, run


@given(
    values=st.lists(NUMBERS, min_size=1, max_size=50),
    scale=st.floats(2.0**-20, 2.0**10, width=32),
    share=st.floats(0, 1),
)
def test_codes_are_the_runtimes_bit_for_bit(
    runtime: tuple[IntType, Runtime], values: list[float], scale: float, share: float
) -> None:
    kind, run = runtime
    zero = round(kind.low + share * (kind.high - kind.low))
    given_values = np.asarray(values, np.float32)
    ours = quantize(torch.from_numpy(given_values), torch.tensor(scale), torch.tensor(zero), kind)
    assert ours.tolist() == run(given_values, scale, zero).tolist()


@given(scale=st.floats(2.0**-20, 2.0**10, width=32), zero=st.integers(-128, 127))
@example(scale=0.1, zero=0)
def test_ties_go_where_the_runtime_sends_them(
    runtime: tuple[IntType, Runtime], scale: float, zero: int
) -> None:
    kind, run = runtime
    zero += 0 if kind.signed else 128
    ties = (np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)) * np.float32(scale)
    ours = quantize(torch.from_numpy(ties), torch.tensor(scale), torch.tensor(zero), kind)
    assert ours.tolist() == run(ties, scale, zero).tolist()


def test_ties_go_to_even_codes() -> None:
    ties = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    codes = quantize(ties, torch.tensor(1.0), torch.tensor(0.0), INT8)
    assert codes.tolist() == [-2, -2, 0, 0, 2, 2]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(one=NUMBERS, other=NUMBERS)
def test_zero_is_a_code_and_comes_back_as_zero(kind: IntType, one: float, other: float) -> None:
    scale, zero = affine_parameters(*bounds(one, other), kind)
    assert kind.low <= float(zero) <= kind.high
    assert float(zero) == round(float(zero))
    codes = quantize(torch.zeros(()), scale, zero, kind)
    assert float(dequantize(codes, scale, zero)) == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(one=NUMBERS, other=NUMBERS, shares=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_inside_the_range_the_error_is_at_most_a_step_and_half_of_one_but_at_the_ends(
    kind: IntType, one: float, other: float, shares: list[float]
) -> None:
    low, high = bounds(one, other)
    scale, zero = affine_parameters(low, high, kind)
    values = torch.tensor([low + share * (high - low) for share in shares], dtype=torch.float32)
    error = (dequantize(quantize(values, scale, zero, kind), scale, zero) - values).abs()
    rounding = values.abs() * 2.0**-22  # of float32, where the step is tiny beside the value
    assert (error <= scale * 1.0001 + rounding).all()
    inner = (values >= (kind.low - zero) * scale) & (values <= (kind.high - zero) * scale)
    assert (error[inner] <= scale * 0.5001 + rounding[inner]).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(one=NUMBERS, other=NUMBERS)
def test_every_code_comes_back_as_itself(kind: IntType, one: float, other: float) -> None:
    for parameters in (affine_parameters, symmetric_parameters):
        scale, zero = parameters(*bounds(one, other), kind)
        codes = torch.arange(kind.low, kind.high + 1).float()
        assert torch.equal(quantize(dequantize(codes, scale, zero), scale, zero, kind), codes)


@given(one=NUMBERS, other=NUMBERS)
def test_a_symmetric_range_has_its_zero_in_the_middle(one: float, other: float) -> None:
    low, high = bounds(one, other)
    signed, middle = symmetric_parameters(low, high, INT8)
    unsigned, shifted = symmetric_parameters(low, high, UINT8)
    assert (float(middle), float(shifted)) == (0, 128)
    assert float(signed) == float(unsigned)
    largest = torch.tensor(max(abs(low), abs(high)))
    code = quantize(largest, signed, middle, INT8)
    assert float(code) in ((127, 126) if float(largest) > 1e-6 else (0, *range(128)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_empty_range_still_has_a_scale(kind: IntType) -> None:
    for parameters in (affine_parameters, symmetric_parameters):
        scale, zero = parameters(0.0, 0.0, kind)
        assert float(scale) > 0
        assert float(quantize(torch.zeros(()), scale, zero, kind)) == float(zero)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_largest_weight_of_every_channel_gets_the_highest_code(axis: int, bits: int) -> None:
    kind = IntType(bits, signed=True, narrow=True)
    weight = torch.randn(4, 5, 3, 3, generator=torch.Generator().manual_seed(bits))
    weight[:, 0] *= 1000
    scale = channel_scales(weight, axis, kind)
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    codes = quantize(weight, scale.view(shape), torch.zeros(()), kind)
    largest: Tensor = codes.abs().movedim(axis, 0).flatten(1).amax(1)
    assert scale.shape == (weight.shape[axis],)
    assert largest.tolist() == [kind.high] * weight.shape[axis]
    assert codes.min() >= -kind.high


def test_a_channel_of_zeros_has_codes_of_zero() -> None:
    kind = IntType(8, signed=True, narrow=True)
    scale = channel_scales(torch.zeros(2, 3), 0, kind)
    assert (scale > 0).all()
    assert quantize(torch.zeros(2, 3), scale[:, None], torch.zeros(()), kind).abs().max() == 0
