from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.quant.affine import channel_scales, quantize
from edgewise.quant.scheme import IntType, Scheme
from edgewise.quant.weights_range import mse_channel_scales

KINDS = [IntType(bits, True, narrow) for bits in (2, 3, 4, 8) for narrow in (False, True)]


def errors(weight: Tensor, scale: Tensor, axis: int, kind: IntType) -> Tensor:
    """Squared error of every channel."""
    rows = weight.movedim(axis, 0).flatten(1)
    back = quantize(rows, scale[:, None], torch.zeros(()), kind) * scale[:, None]
    return (back - rows).double().square().sum(1)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


DRAWS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda w: w, "heavy": lambda w: w**3, "flat": torch.erf, "zero": lambda w: w * 0,
}  # fmt: skip


@settings(max_examples=30)
@given(
    kind=st.sampled_from(KINDS), axis=st.integers(0, 1), seed=st.integers(0, 99),
    name=st.sampled_from(list(DRAWS)), rank=st.integers(2, 4), exponent=st.integers(-20, 20),
)  # fmt: skip
def test_no_channel_is_worse_than_with_its_whole_range(
    kind: IntType, axis: int, seed: int, name: str, rank: int, exponent: int
) -> None:
    weight = DRAWS[name](drawn(*(5, 7, 3, 2)[:rank], seed=seed)) * 2.0**exponent
    scale = mse_channel_scales(weight, axis, kind)
    whole = channel_scales(weight, axis, kind)
    assert scale.shape == (weight.shape[axis],)
    assert bool((scale > 0).all())
    assert bool((scale <= whole).all())
    best, before = errors(weight, scale, axis, kind), errors(weight, whole, axis, kind)
    assert bool((best <= before * (1 + 1e-9)).all())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_few_bits_gain_by_clipping(bits: int) -> None:
    weight, kind = drawn(4, 1000), Scheme(bits, 8).weights
    best = errors(weight, mse_channel_scales(weight, 0, kind), 0, kind)
    assert bool((best < 0.8 * errors(weight, channel_scales(weight, 0, kind), 0, kind)).all())


def test_the_search_finds_what_trying_every_scale_finds() -> None:
    weight, kind = drawn(3, 500), Scheme(4, 8).weights
    found = errors(weight, mse_channel_scales(weight, 0, kind), 0, kind)
    whole = channel_scales(weight, 0, kind)
    tried = torch.stack(
        [errors(weight, whole * s, 0, kind) for s in torch.linspace(0.05, 1, 1000).tolist()]
    )
    assert bool((found <= 1.01 * tried.amin(0)).all())


def test_slices_of_a_large_layer_change_nothing() -> None:
    weight, kind = drawn(10, 16_384), Scheme(4, 8).weights
    whole = mse_channel_scales(weight, 0, kind)
    assert torch.equal(
        whole, torch.cat([mse_channel_scales(w, 0, kind) for w in torch.split(weight, 3)])
    )
