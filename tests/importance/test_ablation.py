from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise.data.dataset import Dataset
from edgewise.graph.network import Network
from edgewise.importance.ablation import BY, ChannelGame, Loss, channel_players
from edgewise.importance.game import shapley_values
from edgewise.importance.permutations import draw, marginals


@pytest.fixture(params=BY)
def game(request: pytest.FixtureRequest, tiny_network: Network, tiny_data: Dataset) -> ChannelGame:
    split = tiny_data.split("test")
    images = torch.from_numpy(next(split.batches(12, tiny_data.contract)))
    labels = torch.from_numpy(np.asarray(split.labels)[:12])
    return ChannelGame(tiny_network, images, of(labels), request.param)


def of(labels: Tensor) -> Loss:
    return lambda outputs, rows: loss(outputs, labels[rows])


def loss(outputs: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(outputs.flatten(1)[:, :4].double(), labels))


def test_entering_one_by_one_is_computing_anew(game: ChannelGame) -> None:
    order = np.random.default_rng(0).permutation(game.count)
    found = game.walk(order)
    members = np.zeros(game.count, dtype=bool)
    before = game.value(members.tolist())
    assert before == pytest.approx(0, abs=1e-9)
    for player in order:
        members[player] = True
        after = game.value(members.tolist())
        assert found[player] == pytest.approx(after - before, abs=2e-6)
        before = after
    assert found.sum() == pytest.approx(game.worth, abs=1e-6)
    assert game.walk(order).tolist() == found.tolist()


def test_a_game_is_the_mean_of_its_parts(game: ChannelGame) -> None:
    order = np.random.default_rng(1).permutation(game.count)
    parts = [game.part(rows) for rows in torch.randperm(12).view(3, 4)]
    found = np.mean([part.walk(order) for part in parts], axis=0)
    assert found == pytest.approx(game.walk(order), abs=2e-6)
    assert np.mean([part.worth for part in parts]) == pytest.approx(game.worth, abs=1e-6)


def test_everybody_is_the_network_itself(
    game: ChannelGame, tiny_network: Network, tiny_data: Dataset
) -> None:
    split = tiny_data.split("test")
    images = torch.from_numpy(next(split.batches(12, tiny_data.contract)))
    labels = torch.from_numpy(np.asarray(split.labels)[:12])
    with torch.no_grad():
        assert loss(tiny_network(images), labels) == pytest.approx(game.everybody, abs=1e-6)
    assert game.value([True] * game.count) == pytest.approx(game.worth, abs=1e-6)


def test_sampled_values_near_those_of_enumeration(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    network = captured("plain")
    split = tiny_data.split("test")
    images = torch.from_numpy(next(split.batches(12, tiny_data.contract)))
    labels = torch.from_numpy(np.asarray(split.labels)[:12])
    game = ChannelGame(network, images, of(labels))
    some = slice(0, 6)  # the first layer's, the others being there

    def value(members: np.ndarray) -> float:
        whole = np.ones(game.count, dtype=bool)
        whole[some] = members
        return game.value(whole.tolist())

    exact = shapley_values(value, 6)
    draws = np.array([draw(lambda order: marginals(value, order), 6, i, 0) for i in range(30)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - exact) <= 5 * error + 1e-6)


def test_players_are_the_channels_of_every_layer_but_the_answer(tiny_network: Network) -> None:
    players = channel_players(tiny_network)
    paths = [layer.form.path for _, layer in tiny_network.layers()]
    assert [one.layer for one in players] == paths[: len(players)]
    assert len(players) < len(paths)


def test_truncation_gives_the_rest_nothing(game: ChannelGame) -> None:
    order = np.arange(game.count)
    cut = game.walk(order, tolerance=abs(game.worth) * 0.5 + 1e-3)
    whole = game.walk(order)
    entered = np.flatnonzero(cut)
    last = int(entered.max()) if len(entered) else -1
    assert np.array_equal(cut[: last + 1], whole[: last + 1])
    assert not cut[last + 1 :].any()
    assert abs(whole[last + 1 :].sum()) <= abs(game.worth) * 0.5 + 1e-3
