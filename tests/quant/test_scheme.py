from typing import Any

import pytest

from edgewise.errors import RecipeError
from edgewise.quant.scheme import INT8, WIDTHS, IntType, Scheme


@pytest.mark.parametrize(
    ("kind", "name", "low", "high"),
    [
        (IntType(8, signed=False), "uint8", 0, 255),
        (IntType(8, signed=True), "int8", -128, 127),
        (IntType(8, signed=True, narrow=True), "int8", -127, 127),
        (IntType(4, signed=False), "uint4", 0, 15),
        (IntType(4, signed=True, narrow=True), "int4", -7, 7),
        (IntType(3, signed=True), "int3", -4, 3),
        (IntType(2, signed=True, narrow=True), "int2", -1, 1),
        (IntType(2, signed=False), "uint2", 0, 3),
    ],
)
def test_the_codes_of_a_format(kind: IntType, name: str, low: int, high: int) -> None:
    assert (kind.name, kind.low, kind.high) == (name, low, high)


@pytest.mark.parametrize("bits", [-8, 0, 1, 5, 7, 16, 2.5, "8", None])
def test_widths_that_are_not_offered_are_refused_when_they_are_asked_for(bits: Any) -> None:
    with pytest.raises(RecipeError, match="not offered"):
        IntType(bits, signed=True)
    with pytest.raises(RecipeError, match="not offered"):
        Scheme(weight_bits=bits)
    with pytest.raises(RecipeError, match="not offered"):
        Scheme(activation_bits=bits)


def test_only_weights_of_eight_bits_leave_a_code_out() -> None:
    for bits in WIDTHS:
        weights = Scheme(bits, 8).weights
        assert weights.high - weights.low == 2**bits - (2 if bits == 8 else 1)


@pytest.mark.parametrize("scheme", [INT8, Scheme(4, 8), Scheme(8, 2), Scheme(3, 3)])
def test_a_scheme_is_found_by_its_name(scheme: Scheme) -> None:
    assert Scheme.parse(scheme.name) == scheme
    assert Scheme.parse(f"w{scheme.weight_bits}a{scheme.activation_bits}") == scheme


@pytest.mark.parametrize(
    "name", ["", "8", "int", "w4", "a4", "w4a", "int48", "w5a5", "W4A4", "w4a4 "]
)
def test_what_is_no_scheme_is_refused(name: str) -> None:
    with pytest.raises(RecipeError):
        Scheme.parse(name)


def test_a_scheme_is_named_by_its_bits() -> None:
    assert [INT8.name, Scheme(4, 8).name, Scheme(4, 4).name] == ["int8", "w4a8", "int4"]
