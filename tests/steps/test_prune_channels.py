"""The step as users have it: alone, and before everything that follows it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import finished, natural
from edgewise.data.splits import array_split
from edgewise.errors import DataError, ModelError, RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.cost import layer_costs
from edgewise.graph.network import Network
from edgewise.presets import INT8
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.prune_channels import PruneChannels
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget

# Narrower than two multiples: tiny networks lose single channels.
WAYS = {
    "shapley": PruneChannels(0.3),
    "magnitude": PruneChannels(0.3, criterion="magnitude"),
    "uniform": PruneChannels(0.3, "channels"),
    "plain": PruneChannels(0.3, "channels", "magnitude", compensate=False),
}


def total(network: Network) -> int:
    return sum(layer.macs for layer in layer_costs(network))


def pruned(network: Network, data: Dataset, step: PruneChannels) -> Network:
    return Recipe("x", (step,)).apply(network, data.split("calibration")).network


@pytest.mark.parametrize("way", WAYS)
def test_the_network_becomes_smaller_and_still_runs(
    way: str, tiny_network: Network, tiny_data: Dataset, tiny_images: Tensor
) -> None:
    smaller = pruned(tiny_network, tiny_data, WAYS[way])
    share = 1 - total(smaller) / total(tiny_network)
    assert share >= 0.3 if WAYS[way].of == "macs" else share > 0
    with torch.no_grad():
        assert smaller(tiny_images).shape == tiny_network(tiny_images).shape
        assert torch.isfinite(smaller(tiny_images)).all()


def test_a_recipe_of_it_goes_through_json_and_back() -> None:
    for name, step in WAYS.items():
        recipe = Recipe(name, (step, *INT8.steps))
        assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("order", ["before fold", "after fold"])
def test_a_pruned_network_is_quantized_and_written(
    order: str, tiny_name: str, tiny_network: Network, tiny_data: Dataset, tiny_images: Tensor,
    tmp_path: Path,
) -> None:  # fmt: skip
    first = (WAYS["shapley"], Fold()) if order == "before fold" else (Fold(), WAYS["shapley"])
    recipe = Recipe("x", (*first, Calibrate(), Quantize()))
    made = recipe.apply(tiny_network, tiny_data.split("calibration"))
    export = made.export(OnnxTarget(), tmp_path / "model.onnx", tiny_images)
    assert export.worst <= 1
    assert export.integer_share == 1
    assert total(made.network) < total(tiny_network)


def test_what_is_kept_keeps_its_channels(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    step = PruneChannels(0.3, "channels", keep=("head",))
    before, after = captured("plain"), pruned(captured("plain"), tiny_data, step)
    for one, other in zip(layer_costs(before), layer_costs(after), strict=True):
        if one.name.startswith("head"):
            assert one.output_shape == other.output_shape
        else:
            assert one.output_shape[0] > other.output_shape[0]


def test_compensation_comes_nearer_to_the_whole_network(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    step = PruneChannels(0.3, "channels", "magnitude", statistics=False)
    with torch.no_grad():
        truth = captured("plain")(tiny_images)
        errors = [
            (pruned(captured("plain"), tiny_data, one)(tiny_images) - truth).square().mean()
            for one in (step, replace(step, compensate=False))
        ]
    assert errors[0] < errors[1]


def test_statistics_are_those_of_the_images(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    """Of a layer that is whole, too, and never in the network that was given."""
    network, split = captured("residual"), tiny_data.split("calibration")
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    step = PruneChannels(0.3, "channels", batch_size=24, keep=("two.*",))
    smaller = Recipe("x", (step,)).apply(network, split).network
    images = torch.from_numpy(next(split.batches(24, network.contract)))
    seen: dict[str, Tensor] = {}
    for node, layer in smaller.layers():
        if layer.batch_norm is not None:
            layer.batch_norm.register_forward_pre_hook(
                lambda _, given, name=node.name: seen.update({name: given[0]})
            )
    with torch.no_grad():
        smaller(images)
    assert len(seen) == 2
    for node, layer in smaller.layers():
        if layer.batch_norm is not None:
            mean, variance = layer.batch_norm.running_mean, layer.batch_norm.running_var
            assert mean is not None
            assert variance is not None
            # While training, BatchNorm divides by the variance of the sample: 1/n, not 1/(n - 1).
            assert torch.allclose(mean, seen[node.name].mean((0, 2, 3)), atol=1e-3)
            assert torch.allclose(variance, seen[node.name].var((0, 2, 3)), rtol=5e-3)
            assert not layer.batch_norm.training
    after = network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_calibration_that_no_longer_holds_is_refused(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    recipe = Recipe("x", (Fold(), Calibrate(), PruneChannels()))
    with pytest.raises(RecipeError, match="put it before calibrate"):
        recipe.apply(captured("plain"), tiny_data.split("calibration"))


def test_a_network_without_channels_to_remove_says_why(tiny_data: Dataset) -> None:
    network = capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), natural((3, 8, 8)), "one")
    with pytest.raises(ModelError, match=r"no channels of one .*: 0: they are the network's outp"):
        pruned(network, tiny_data, PruneChannels())


def test_images_that_are_not_finite_are_refused(captured: Callable[[str], Network]) -> None:
    images = torch.zeros((6, 3, 8, 8)).numpy()
    images[4, 2, 7, 7] = np.nan
    network = replace(captured("plain"), contract=finished((3, 8, 8)))
    with pytest.raises(DataError, match="image 4 of odd holds values that are not finite"):
        Recipe("x", (PruneChannels(),)).apply(network, array_split("odd", images, None))


def test_statistics_of_single_images_are_refused(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    with pytest.raises(DataError, match="at least two images"):
        pruned(captured("plain"), tiny_data, PruneChannels(0.3, batch_size=1))
    pruned(captured("plain"), tiny_data, PruneChannels(0.3, batch_size=1, statistics=False))
    pruned(captured("plain"), tiny_data, PruneChannels(0.3, batch_size=23))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"share": 0.0}, "between 0 and 1, not 0.0"), ({"share": float("inf")}, "not inf"),
        ({"share": float("nan")}, "not nan"), ({"of": "layers"}, "macs or channels"),
        ({"criterion": "taylor"}, "shapley or magnitude, not 'taylor'"),
        ({"multiple": 0}, "at least one"), ({"images": 0}, "one image"),
        ({"batch_size": 0}, "batch of one"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        PruneChannels(**settings)  # type: ignore[arg-type]
