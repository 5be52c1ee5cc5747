from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.errors import EdgewiseError, RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.importance.table import CRITERIA
from edgewise.progress import silent
from edgewise.steps.fold import Fold
from edgewise.steps.prune_links import PruneLinks

Captured = Callable[[str], Network]


def apply(network: Network, data: Dataset, **settings: Any) -> Network:
    settings = {"images": 24, **settings}
    return PruneLinks(**settings).apply(network.copy(), data.split("calibration"), silent)


def weights(network: Network) -> dict[str, Tensor]:
    return {layer.form.path: layer.weight for _, layer in network.layers()}


def error(network: Network, truth: Network, images: Tensor) -> float:
    with torch.no_grad():
        return float((network(images) - truth(images)).square().mean())


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("refit", ["weights", "bias", "none"])
def test_every_criterion_leaves_the_asked_share_of_every_layer(
    criterion: str, refit: str, captured: Captured, tiny_data: Dataset
) -> None:
    network = captured("residual")
    before = {path: weight.clone() for path, weight in weights(network).items()}
    made = apply(network, tiny_data, criterion=criterion, refit=refit, sparsity=0.5)
    for path, weight in weights(made).items():
        left = int((weight != 0).sum())
        # Ties of greedy places are broken by position, and a refit may find an exact zero.
        assert abs(left - 0.5 * weight.numel()) <= 0.1 * weight.numel() + 1, path
    assert made.held == {str(node.target) for node, _ in network.layers()}
    after = weights(network)
    assert all(torch.equal(before[path], after[path]) for path in before)  # the user's own


def test_every_network_is_pruned_and_runs(tiny_network: Network, tiny_data: Dataset) -> None:
    made = apply(tiny_network, tiny_data, sparsity=0.5)
    images = torch.from_numpy(next(tiny_data.split("test").batches(4, tiny_data.contract)))
    assert bool(torch.isfinite(made(images)).all())
    zeros = sum(int((w == 0).sum()) for w in weights(made).values())
    assert zeros >= 0.45 * sum(w.numel() for w in weights(made).values())


def test_nothing_pruned_is_nothing_changed(captured: Captured, tiny_data: Dataset) -> None:
    network = captured("plain")
    images = torch.from_numpy(next(tiny_data.split("test").batches(8, tiny_data.contract)))
    for refit, tolerance in (("none", 0.0), ("bias", 1e-5), ("weights", 1e-3)):
        made = apply(network, tiny_data, sparsity=0.0, refit=refit)
        assert error(made, network, images) <= tolerance


def test_what_stays_takes_over(captured: Captured, tiny_data: Dataset) -> None:
    """On the images it saw, a refit is never worse than biases, and those than nothing."""
    network = Fold().apply(captured("plain").copy(), None, silent)
    split = tiny_data.split("calibration")
    images = torch.from_numpy(next(split.batches(24, tiny_data.contract)))
    errors = [
        error(apply(network, tiny_data, sparsity=0.5, refit=refit, layers=("head.3",)),
              network, images)
        for refit in ("weights", "bias", "none")
    ]  # fmt: skip
    assert errors[0] < errors[1]
    assert errors[0] < errors[2]


def test_a_single_linear_layer_is_refitted_to_its_least_squares(tiny_data: Dataset) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    network = capture(module.eval(), tiny_data.contract, "linear")
    made = apply(network, tiny_data, sparsity=0.95)
    split = tiny_data.split("calibration")
    images = torch.from_numpy(next(split.batches(24, tiny_data.contract))).flatten(1).double()
    layer = next(layer for _, layer in made.layers())
    assert layer.bias is not None
    wanted = module(images.float()).detach().double()
    for unit in range(3):
        index = layer.weight[unit].nonzero().flatten()
        design = torch.cat([images[:, index], torch.ones(24, 1).double()], 1)
        exact = torch.linalg.lstsq(design, wanted[:, unit : unit + 1]).solution.flatten()
        assert torch.allclose(layer.weight[unit, index].double(), exact[:-1], atol=2e-3)


def test_pruning_goes_on_from_where_it_was(captured: Captured, tiny_data: Dataset) -> None:
    once = apply(captured("plain"), tiny_data, sparsity=0.4, criterion="magnitude", refit="none")
    twice = apply(once, tiny_data, sparsity=0.7, criterion="wanda")
    for path, weight in weights(once).items():
        assert bool((weights(twice)[path][weight == 0] == 0).all())


def test_only_layers_that_are_meant_are_pruned(captured: Captured, tiny_data: Dataset) -> None:
    network = captured("plain")
    made = apply(network, tiny_data, sparsity=0.6, layers=("head",), refit="bias")
    for path, weight in weights(made).items():
        assert bool((weight == 0).any()) == path.startswith("head")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"sparsity": 1.0}, "below 1"), ({"sparsity": float("nan")}, "nan"), ({"images": 0}, "one"),
        ({"criterion": "luck"}, "magnitude, wanda"), ({"rule": "luck"}, "layer, unit"),
        ({"refit": "luck"}, "weights, bias"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(EdgewiseError, match=match):
        PruneLinks(**settings)


def test_globs_that_cover_nothing_are_refused(captured: Captured, tiny_data: Dataset) -> None:
    with pytest.raises(RecipeError, match="tail"):
        apply(captured("plain"), tiny_data, layers=("tail",))
