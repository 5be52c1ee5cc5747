"""The closed forms of the squared-error game and of the refit game, held against enumeration."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.graph.layer import Form
from edgewise.importance import quadratic, refit
from edgewise.importance.game import Game, semivalues, shapley_values
from edgewise.importance.moments import LinkMoments
from edgewise.importance.permutations import marginals
from edgewise.importance.shapley import link_values

seeds = st.integers(0, 100_000)
few = st.integers(2, 9)
LINEAR = Form("linear", "layer", {})


def correlated(players: int, seed: int, samples: int = 40) -> Tensor:
    """Inputs that depend on one another and are not centred, (samples, players)."""
    draw = torch.Generator().manual_seed(seed)
    mixed = torch.randn(players, players, generator=draw, dtype=torch.float64)
    shift = torch.randn(players, generator=draw, dtype=torch.float64)
    return torch.randn(samples, players, generator=draw, dtype=torch.float64) @ mixed + shift


def weights(units: int, players: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed + 1)
    return torch.randn(units, players, generator=draw, dtype=torch.float64)


def error_game(inputs: Tensor, weight: Tensor) -> Game:
    """What keeping a set takes off the squared error of keeping nothing, by the data."""
    parts = (inputs * weight).numpy()
    worst = float((parts.sum(1) ** 2).mean())
    return lambda members: worst - float((parts[:, ~members].sum(1) ** 2).mean())


def refit_game(second: Tensor, weight: Tensor) -> Game:
    """The energy that least squares on a set explains, by a solver of its own."""
    moments, wanted = second.numpy(), (second @ weight).numpy()

    def value(members: np.ndarray) -> float:
        index = np.flatnonzero(members)
        if not len(index):
            return 0.0
        solved = np.linalg.solve(moments[np.ix_(index, index)], wanted[index])
        return float(wanted[index] @ solved)

    return value


@given(players=few, seed=seeds)
def test_the_closed_form_is_enumeration(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(1, players, seed)
    second = inputs.T @ inputs / len(inputs)
    exact = shapley_values(error_game(inputs, weight[0]), players)
    found = quadratic.shapley(weight, second)[0].numpy()
    assert np.allclose(found, exact, rtol=1e-10, atol=1e-10 * np.abs(exact).max())
    # Efficiency: the values share out the unit's whole energy.
    energy = float((inputs @ weight[0]).square().mean())
    assert found.sum() == pytest.approx(energy, rel=1e-10)


@given(players=few, seed=seeds, share=st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.9, 1.0]))
def test_semivalues_are_enumeration(players: int, seed: int, share: float) -> None:
    inputs, weight = correlated(players, seed), weights(1, players, seed)
    second = inputs.T @ inputs / len(inputs)
    exact = semivalues(error_game(inputs, weight[0]), players, share)
    found = quadratic.semivalue(weight, second, share)[0].numpy()
    assert np.allclose(found, exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())


@given(players=few, seed=seeds)
def test_one_permutation_and_its_reverse_are_exact(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(1, players, seed)
    game = error_game(inputs, weight[0])
    order = np.random.default_rng(seed).permutation(players)
    pair = (marginals(game, order) + marginals(game, order[::-1])) / 2
    exact = quadratic.shapley(weight, inputs.T @ inputs / len(inputs))[0].numpy()
    assert np.allclose(pair, exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())


@given(players=few, seed=seeds)
def test_the_value_is_the_mean_of_first_and_last_marginal(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(3, players, seed)
    second = inputs.T @ inputs / len(inputs)
    ends = quadratic.semivalue(weight, second, 0.0) + quadratic.semivalue(weight, second, 1.0)
    assert torch.allclose(ends / 2, quadratic.shapley(weight, second), rtol=1e-10)


@given(players=few, seed=seeds)
def test_leaving_one_out_is_brain_damage_and_with_refit_brain_surgery(
    players: int, seed: int
) -> None:
    inputs, weight = correlated(players, seed), weights(1, players, seed)
    second = inputs.T @ inputs / len(inputs)
    for game, found in (
        (error_game(inputs, weight[0]), quadratic.semivalue(weight, second, 1.0)),
        (refit_game(second, weight[0]), refit.brain_surgeon(weight, second)),
    ):
        every = np.ones(players, dtype=bool)
        for player in range(players):
            rest = every.copy()
            rest[player] = False
            alone = game(every) - game(rest)
            scale = abs(game(every))
            assert float(found[0, player]) == pytest.approx(alone, rel=1e-6, abs=1e-7 * scale)


@given(players=st.integers(3, 7), seed=seeds)
@settings(max_examples=25)
def test_refit_gains_are_marginals_and_their_mean_the_value(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(2, players, seed)
    second = inputs.T @ inputs / len(inputs)
    order = torch.randperm(players, generator=torch.Generator().manual_seed(seed))
    gains = refit.entry_gains(weight, second, order)
    for unit in range(2):
        game = refit_game(second, weight[unit])
        exact = marginals(game, order.numpy())
        assert np.allclose(gains[unit].numpy(), exact, rtol=1e-6, atol=1e-7 * exact.max())
        values = refit.refit_shapley(weight, second, pairs=400, seed=seed)[unit].numpy()
        truth = shapley_values(game, players)
        assert values.sum() == pytest.approx(truth.sum(), rel=1e-6)
        assert np.abs(values - truth).max() < 0.15 * truth.sum()


@given(players=few, seed=seeds, scale=st.floats(-5, 5))
def test_symmetry_null_players_order_scale_and_linearity(
    players: int, seed: int, scale: float
) -> None:
    inputs, weight = correlated(players, seed), weights(2, players, seed)
    # A twin of the first link, and a link that never carries anything.
    inputs = torch.cat([inputs, inputs[:, :1], torch.zeros(len(inputs), 1)], 1)
    weight = torch.cat([weight, weight[:, :1], torch.ones(2, 1)], 1)
    second = inputs.T @ inputs / len(inputs)
    found = quadratic.shapley(weight, second)
    assert torch.allclose(found[:, 0], found[:, -2], rtol=1e-10)
    assert torch.equal(found[:, -1], torch.zeros(2, dtype=torch.float64))
    order = torch.randperm(players + 2, generator=torch.Generator().manual_seed(seed))
    moved = quadratic.shapley(weight[:, order], second[order][:, order])
    assert torch.allclose(moved, found[:, order], rtol=1e-9, atol=1e-12)
    scaled = quadratic.shapley(scale * weight, second)
    assert torch.allclose(scaled, scale**2 * found, rtol=1e-9, atol=1e-12)
    other = correlated(players + 2, seed + 7)
    third = other.T @ other / len(other)
    mixed = quadratic.shapley(weight, 0.3 * second + 0.7 * third)
    apart = 0.3 * found + 0.7 * quadratic.shapley(weight, third)
    assert torch.allclose(mixed, apart, rtol=1e-9, atol=1e-10)


@given(players=st.integers(3, 8), seed=seeds)
def test_links_merged_into_one_player_are_worth_their_sum(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(1, players, seed)[0]
    game = error_game(inputs, weight)
    together = players // 2 + 1

    def merged(members: np.ndarray) -> float:
        return game(np.concatenate([np.repeat(members[:1], together), members[1:]]))

    second = inputs.T @ inputs / len(inputs)
    links = quadratic.shapley(weight[None], second)[0].numpy()
    found = shapley_values(merged, players - together + 1)
    whole = np.concatenate([[links[:together].sum()], links[together:]])
    assert np.allclose(found, whole, rtol=1e-9, atol=1e-9 * np.abs(links).max())


@given(players=few, seed=seeds)
def test_the_error_of_a_pruned_layer_is_the_one_foretold(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(3, players, seed)
    kept = torch.rand(3, players, generator=torch.Generator().manual_seed(seed)) < 0.5
    second = inputs.T @ inputs / len(inputs)
    lost = (inputs @ (weight * ~kept).T).square().mean(0)
    assert torch.allclose(quadratic.removal_error(weight, second, kept), lost, rtol=1e-9)


@given(players=few, seed=seeds)
def test_refitted_weights_leave_an_error_that_no_survivor_explains(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(3, players, seed)
    kept = torch.rand(3, players, generator=torch.Generator().manual_seed(seed)) < 0.6
    second = inputs.T @ inputs / len(inputs)
    found = refit.refitted(weight @ second, second, kept)
    assert bool((found[~kept] == 0).all())
    gradient = ((found - weight) @ second)[kept]
    assert bool((gradient.abs() <= 1e-6 * (weight.abs() @ second.abs())[kept]).all())
    plain = quadratic.removal_error(weight, second, kept)
    left = ((found - weight) @ second * (found - weight)).sum(1)
    assert bool((left <= plain * (1 + 1e-9) + 1e-12).all())


@given(players=st.integers(2, 8), seed=seeds)
def test_greedy_orders_take_the_best_each_time(players: int, seed: int) -> None:
    inputs, weight = correlated(players, seed), weights(2, players, seed)
    second = inputs.T @ inputs / len(inputs)
    backward = quadratic.backward_order(weight, second)
    forward = refit.pursuit_order(weight, second, players)
    for unit in range(2):
        assert sorted(backward[unit].tolist()) == sorted(forward[unit].tolist())
        error, energy = error_game(inputs, weight[unit]), refit_game(second, weight[unit])
        members = np.ones(players, dtype=bool)
        for turn in range(players):
            _best(error, members, backward[unit], turn)
        members = np.zeros(players, dtype=bool)
        for turn in range(players):
            _best(energy, members, forward[unit], turn)


def _best(game: Game, members: np.ndarray, place: Tensor, turn: int) -> None:
    """Nothing beats what the order does in this turn; it is done to `members`."""
    chosen = int((place == turn).nonzero())
    going = bool(members[chosen])

    def after(player: int) -> float:
        changed = members.copy()
        changed[player] = not going
        return game(changed)

    open_to = np.flatnonzero(members == going)
    best = max(after(int(player)) for player in open_to)
    whole = abs(game(np.ones_like(members)))
    assert after(chosen) >= best - 1e-6 * max(whole, abs(best))
    members[chosen] = not going


def convolution(
    stride: int, padding: list[int], dilation: list[int], groups: int
) -> dict[str, Any]:
    return {"stride": [stride, 1], "padding": padding, "dilation": dilation, "groups": groups}


GEOMETRIES = {
    "plain": ((5, 4, 3, 3), convolution(1, [0, 0], [1, 1], 1)),
    "padded": ((5, 4, 3, 3), convolution(1, [1, 1], [1, 1], 1)),
    "strided": ((6, 4, 3, 2), convolution(2, [1, 0], [1, 1], 1)),
    "dilated": ((5, 4, 2, 3), convolution(1, [2, 1], [2, 1], 1)),
    "grouped": ((6, 2, 3, 3), convolution(1, [1, 1], [1, 1], 2)),
    "depthwise": ((4, 1, 3, 3), convolution(2, [1, 1], [1, 1], 4)),
}


def layer(kind: str) -> tuple[Form, Tensor, Callable[[int], Tensor]]:
    torch.manual_seed(0)
    if kind in GEOMETRIES:
        shape, geometry = GEOMETRIES[kind]
        weight = torch.randn(shape, dtype=torch.float64)
        return Form("conv2d", kind, geometry), weight, lambda n: torch.rand(n, 4, 8, 7).double() + 1
    weight = torch.randn(5, 6, dtype=torch.float64)
    if kind == "tokens":
        return LINEAR, weight, lambda n: torch.rand(n, 3, 6).double() + 1
    return LINEAR, weight, lambda n: torch.rand(n, 6).double() + 1


@pytest.mark.parametrize("kind", [*GEOMETRIES, "linear", "tokens"])
@pytest.mark.parametrize("centred", [False, True])
def test_link_values_are_weight_times_gradient_of_the_units_energy(
    kind: str, centred: bool
) -> None:
    form, weight, images = layer(kind)
    inputs = images(6)
    moments = LinkMoments.empty(form, tuple(weight.shape))
    for batch in torch.split(inputs, [1, 3, 2]):
        moments.add(batch, form.run(batch, weight, None))
    learned = weight.clone().requires_grad_()
    sums = form.run(inputs, learned, None)
    units = sums if form.kind == "linear" else sums.movedim(1, -1)
    rows = units.reshape(-1, units.shape[-1])
    wanted = rows - rows.mean(0) if centred else rows  # its own mean depends on the weights too
    energy = wanted.square().mean(0).sum() / 2
    (gradient,) = torch.autograd.grad(energy, learned)
    found = link_values(weight, moments, centred)
    assert torch.allclose(found, weight * gradient, rtol=1e-9, atol=1e-10)
    shares = found.flatten(1).sum(1)
    assert torch.allclose(shares, wanted.detach().square().mean(0), rtol=1e-9)


@pytest.mark.parametrize("kind", [*GEOMETRIES, "linear", "tokens"])
def test_moments_do_not_depend_on_how_images_are_batched(kind: str) -> None:
    form, weight, images = layer(kind)
    inputs = images(7)
    found = []
    for parts in ([7], [2, 5], [1] * 7):
        moments = LinkMoments.empty(form, tuple(weight.shape))
        for batch in torch.split(inputs, parts):
            moments.add(batch, form.run(batch, weight, None))
        found.append(moments)
    for other in found[1:]:
        assert other.positions == found[0].positions
        for name in ("inputs", "squares", "sums", "products"):
            assert torch.allclose(getattr(other, name), getattr(found[0], name), rtol=1e-12)


@pytest.mark.parametrize("kind", [*GEOMETRIES, "linear", "tokens"])
def test_with_its_bias_compensated_a_pruned_layer_keeps_its_mean(kind: str) -> None:
    form, weight, images = layer(kind)
    inputs = images(6)
    moments = LinkMoments.empty(form, tuple(weight.shape))
    moments.add(inputs, form.run(inputs, weight, None))
    kept = torch.rand(weight.shape) < 0.4
    bias = (weight * moments.mean * ~kept).flatten(1).sum(1)
    pruned, whole = form.run(inputs, weight * kept, bias), form.run(inputs, weight, None)
    axes = [a for a in range(whole.ndim) if a != (whole.ndim - 1 if form.kind == "linear" else 1)]
    assert torch.allclose(pruned.mean(axes), whole.mean(axes), rtol=1e-9)


@settings(max_examples=30)
@given(
    size=st.integers(2, 30),
    rank=st.integers(1, 10),
    dirt=st.sampled_from([0.0, 1e-9, 1e-5, 1e-4]),
    seed=st.integers(0, 99),
)
def test_damped_moments_have_a_factor_and_are_hardly_changed(
    size: int, rank: int, dirt: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(rank, size, generator=draw, dtype=torch.float64)
    noise = torch.randn(size, size, generator=draw, dtype=torch.float64)
    second = rows.T @ rows
    level = float(second.diagonal().mean())
    dirty = second + dirt * level * (noise + noise.T) / size  # indefinite, as rounding leaves it
    found = refit.damped(dirty)
    torch.linalg.cholesky(found)
    assert float((found - dirty).abs().max()) <= 1.001 * level * max(1e-6, 100 * dirt)
