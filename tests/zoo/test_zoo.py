"""Networks that nobody here wrote come out, each within one code of its integer twin."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import zoo
from edgewise.data.random import load_random
from edgewise.graph.capture import capture
from edgewise.models.load import load_model
from edgewise.presets import INT8
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.store import read_record
from edgewise.targets.onnx.target import OnnxTarget

RECORD = zoo.ROOT / "records" / "zoo.json"
SHAPE = (3, 224, 224)  # theirs: the last pooling of most is as large as it leaves the maps
IMAGES = 4


def with_few_images(recipe: Recipe) -> Recipe:
    steps = [step for step in recipe.steps if not isinstance(step, Calibrate)]
    return replace(recipe, steps=(*steps[:-1], Calibrate(images=IMAGES, batch_size=2), steps[-1]))


@pytest.mark.zoo
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_network_of_others_comes_out(name: str, tmp_path: Path) -> None:
    for package in set(zoo.NETWORKS.values()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed; it comes with the extra [zoo]")
    images = load_random(SHAPE, calibration=IMAGES).split("calibration")
    loaded = load_model(f"{zoo.FACTORIES}:{name}")
    network = capture(loaded.module, load_random(SHAPE).contract, name)
    made = with_few_images(INT8).apply(network, images)
    batch = torch.from_numpy(next(images.batches(2, network.contract)))
    export = made.export(OnnxTarget(), tmp_path / "model.onnx", batch)
    assert export.worst <= 1
    assert export.integer_share == 1
    assert len(export.executions) >= sum(1 for _ in network.layers())
    assert export.float_error < 0.5, "the integers still compute this network"


def test_the_record_is_of_these_networks_and_holds_the_promise() -> None:
    result = read_record(RECORD)["result"]
    assert [one["network"] for one in result["networks"]] == list(zoo.NETWORKS)
    came_out = [one for one in result["networks"] if one["outcome"] == zoo.CAME_OUT]
    assert len(came_out) == result["came_out"] >= 7
    assert all(one["worst_code"] <= 1 for one in came_out)
    assert all(one["integer"] == one["layers"] for one in came_out)
    others = [one["outcome"] for one in result["networks"] if one not in came_out]
    assert all(outcome.startswith("refused: ") for outcome in others)
