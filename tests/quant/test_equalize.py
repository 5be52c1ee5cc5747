import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgewise.graph.layer import Form
from edgewise.quant.equalize import (
    Pair,
    balance,
    blocks,
    divided,
    multiplied,
    peaks,
    unblocks,
)

PLAIN = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}
FORMS = {
    "linear": (Form("linear", "x", {}), (6, 4), (3, 4)),
    "conv": (Form("conv2d", "x", {**PLAIN, "groups": 1}), (6, 4, 3, 2), (3, 4, 5, 5)),
    "groups": (Form("conv2d", "x", {**PLAIN, "groups": 2}), (6, 2, 3, 3), (3, 4, 5, 5)),
    "depthwise": (Form("conv2d", "x", {**PLAIN, "groups": 4}), (8, 1, 3, 3), (3, 4, 5, 5)),
    "transpose": (
        Form("conv_transpose2d", "x", {**PLAIN, "output_padding": [0, 0], "groups": 1}),
        (4, 6, 3, 2), (3, 4, 5, 5),
    ),
    "transpose-groups": (
        Form("conv_transpose2d", "x", {**PLAIN, "output_padding": [0, 0], "groups": 2}),
        (4, 3, 3, 3), (3, 4, 5, 5),
    ),
}  # fmt: skip


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", FORMS)
def test_scaled_channels_are_scaled_inputs_and_outputs(name: str) -> None:
    form, shape, images = FORMS[name]
    weight, values = drawn(*shape), drawn(*images, seed=1)
    truth = form.run(values, weight, None)
    into = drawn(values.shape[1], seed=2).exp()
    out = drawn(truth.shape[1], seed=3).exp()
    rank = [1, -1, *[1] * (values.ndim - 2)]
    scaled = unblocks(form, multiplied(divided(blocks(form, weight), out), into, 1), weight.shape)
    found = form.run(values / into.view(rank), scaled, None)
    assert torch.allclose(found, truth / out.view(rank), rtol=1e-12, atol=1e-12)


def test_inputs_of_a_flattened_map_are_scaled_by_channel() -> None:
    form, weight, maps = FORMS["linear"][0], drawn(3, 8), drawn(2, 4, 2, 1, seed=1)
    factors = drawn(4, seed=2).exp()
    scaled = unblocks(form, multiplied(blocks(form, weight), factors, 2), weight.shape)
    found = form.run((maps / factors.view(1, 4, 1, 1)).flatten(1), scaled, None)
    assert torch.allclose(found, form.run(maps.flatten(1), weight, None))


@pytest.mark.parametrize("name", FORMS)
def test_taking_apart_and_putting_together_is_nothing(name: str) -> None:
    form, shape, _ = FORMS[name]
    weight = drawn(*shape)
    assert torch.equal(unblocks(form, blocks(form, weight), shape), weight)


CHAIN = (
    (Form("conv2d", "a", {**PLAIN, "groups": 1}), (5, 3, 3, 3)),
    (Form("conv2d", "b", {**PLAIN, "groups": 5}), (5, 1, 3, 3)),
    (Form("conv2d", "c", {**PLAIN, "groups": 1}), (4, 5, 1, 1)),
    (Form("linear", "d", {}), (6, 4 * 9)),
)
PAIRS = (Pair(0, 1), Pair(1, 2), Pair(2, 3, spread=9))


def balanced(weights: list[Tensor], sweeps: int) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    forms = [form for form, _ in CHAIN]
    found = balance([peaks(f, w) for f, w in zip(forms, weights, strict=True)], PAIRS, sweeps)
    parts = [blocks(f, w) for f, w in zip(forms, weights, strict=True)]
    for pair, factors in zip(PAIRS, found, strict=True):
        parts[pair.first] = divided(parts[pair.first], factors)
        parts[pair.second] = multiplied(parts[pair.second], factors, pair.spread)
    return parts, found


def ranges(parts: list[Tensor], pair: Pair) -> tuple[Tensor, Tensor]:
    first = parts[pair.first].abs().amax((2, 3)).flatten()
    second = parts[pair.second].abs().amax((1, 3)).flatten().view(-1, pair.spread).amax(1)
    return first, second


@given(seed=st.integers(0, 1000))
def test_both_ranges_of_every_channel_become_equal(seed: int) -> None:
    weights = [drawn(*shape, seed=seed + index) for index, (_, shape) in enumerate(CHAIN)]
    parts, _ = balanced(weights, 100)
    for pair in PAIRS:
        first, second = ranges(parts, pair)
        assert torch.allclose(first, second, rtol=0.01)


def test_one_pair_has_the_closed_form() -> None:
    weights = [drawn(*shape) for _, shape in CHAIN]
    forms = [form for form, _ in CHAIN]
    tables = [peaks(f, w) for f, w in zip(forms, weights, strict=True)]
    (found,) = balance(tables, PAIRS[:1], 9)
    first = weights[0].abs().amax((1, 2, 3))
    second = weights[1].abs().amax((1, 2, 3))
    assert torch.allclose(found, torch.sqrt(first * second) / second)


@given(seed=st.integers(0, 1000))
def test_what_scaling_made_unequal_is_recovered(seed: int) -> None:
    weights = [drawn(*shape, seed=seed + index) for index, (_, shape) in enumerate(CHAIN)]
    unequal = [blocks(form, weight) for (form, _), weight in zip(CHAIN, weights, strict=True)]
    for index, pair in enumerate(PAIRS):
        channels = len(ranges(unequal, pair)[0])
        factors = torch.exp(4.6 * drawn(channels, seed=2000 + seed + index).clamp(-1, 1))
        unequal[index] = divided(unequal[index], factors)
        unequal[index + 1] = multiplied(unequal[index + 1], factors, pair.spread)
    scaled = [
        unblocks(form, part, shape) for (form, shape), part in zip(CHAIN, unequal, strict=True)
    ]
    wanted, _ = balanced(weights, 200)
    found, _ = balanced(scaled, 200)
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, rtol=0.05, atol=1e-6)


def test_channels_that_are_zero_on_either_side_are_left_alone() -> None:
    weights = [drawn(*shape) for _, shape in CHAIN]
    weights[0][2] = 0
    weights[2][:, 3] = 0
    parts, found = balanced(weights, 50)
    assert found[0][2] == 1
    assert found[1][3] == 1
    assert all(bool(torch.isfinite(part).all()) for part in parts)
    assert all(bool((factors > 0).all()) for factors in found)


def test_no_pairs_give_no_factors() -> None:
    assert balance([torch.ones(1, 1, 1, 1, dtype=torch.float64)], (), 5) == ()
