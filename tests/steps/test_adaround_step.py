import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from network_parts import quantized_layers
from torch import Tensor

from edgewise.data.dataset import Dataset, Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32
from edgewise.progress import silent
from edgewise.quant.fake import QuantizedLayer, rounded
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.adaround import AdaRound
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.correct import BiasCorrect
from edgewise.steps.fold import Fold
from edgewise.steps.paired import paired_layers
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget

BEFORE = (Fold(), Calibrate(), Quantize(Scheme(4, 8)))
QUICK = AdaRound(iterations=60, batch_size=64)
CLIPS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu, "hardtanh": lambda x: x.clamp(0, 6), "relu6": lambda x: x.clamp(0, 6),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> Callable[[str, AdaRound], Network]:
    """A tiny network by name, rounded adaptively by a step, made once."""
    known: dict[tuple[str, AdaRound], Network] = {}

    def find(name: str, step: AdaRound) -> Network:
        if (name, step) not in known:
            recipe = Recipe("x", (*BEFORE, step))
            known[name, step] = recipe.apply(captured(name), tiny_data.split("calibration")).network
        return known[name, step]

    return find


CASES = [("plain", "keep"), ("plain", "mse"), ("depthwise", "mse"), ("residual", "mse"),
         ("leaky", "keep")]  # fmt: skip


@pytest.mark.parametrize(("name", "scales"), CASES)
def test_every_code_is_beside_its_weight(
    name: str, scales: str, captured: Callable[[str], Network],
    made: Callable[[str, AdaRound], Network],
) -> None:  # fmt: skip
    network = made(name, replace(QUICK, scales=scales))
    truth = FLOAT32.apply(captured(name)).network.module
    up = 0
    for path, layer in quantized_layers(network).items():
        node = next(node for node in network.module.graph.nodes if node.name == path)
        weight = truth.get_submodule(str(node.target)).weight
        assert isinstance(weight, Tensor)
        scale = layer.form.per_channel(layer.scale, weight.ndim)
        wanted = weight / scale
        clipped = wanted.clamp(layer.kind.low, layer.kind.high)
        codes = layer.weight_codes.float()
        assert layer.weight_codes.dtype == torch.int8
        assert bool(((codes - clipped).abs() <= 1).all())
        assert layer.kind.low <= int(codes.min()) <= int(codes.max()) <= layer.kind.high
        up += int((layer.weight_codes != rounded(weight, scale, layer.kind)).sum())
    assert up > 0


def reconstruction(network: Network, reference: Network, split: Split, name: str) -> float:
    """Squared error of a layer's output past its activation, for the network's own input."""
    total = 0.0
    with torch.no_grad():
        for pair in paired_layers(replace(network, reference=reference), split, 24):
            if pair.node.name == name:
                (reader, *_) = pair.node.users
                kind = str(reader.target).rpartition(".")[0].rpartition(".")[2]
                clip = CLIPS.get(kind, torch.clone)
                for inputs, targets in zip(pair.inputs, pair.targets, strict=True):
                    error = clip(pair.layer(inputs)) - clip(targets)
                    total += float(error.double().square().sum())
    return total


@pytest.mark.parametrize("name", ["plain", "depthwise", "residual"])
def test_no_layer_is_reconstructed_worse_than_by_rounding_to_nearest(
    name: str, captured: Callable[[str], Network], made: Callable[[str, AdaRound], Network],
    tiny_data: Dataset,
) -> None:  # fmt: skip
    network, split = made(name, QUICK).copy(), tiny_data.split("calibration")
    reference = FLOAT32.apply(captured(name)).network
    gains = []
    for node in [n for n in network.module.graph.nodes if n.name in quantized_layers(network)]:
        layer = network.module.get_submodule(str(node.target))
        assert isinstance(layer, QuantizedLayer)
        learned = layer.weight_codes
        weight = reference.module.get_submodule(str(node.target)).weight
        assert isinstance(weight, Tensor)
        ours = reconstruction(network, reference, split, node.name)
        layer.weight_codes = rounded(
            weight.detach(), layer.form.per_channel(layer.scale, weight.ndim), layer.kind
        )
        nearest = reconstruction(network, reference, split, node.name)
        layer.weight_codes = learned
        assert ours <= nearest * (1 + 1e-6)
        gains.append(ours / nearest)
    assert min(gains) < 0.9


def test_the_networks_output_comes_nearer_to_the_float_one(
    captured: Callable[[str], Network], made: Callable[[str, AdaRound], Network],
    tiny_data: Dataset,
) -> None:  # fmt: skip
    split = tiny_data.split("calibration")
    images = torch.from_numpy(next(split.batches(24, tiny_data.contract)))
    before = Recipe("x", BEFORE).apply(captured("plain"), split).network
    with torch.no_grad():
        truth = captured("plain")(images)
        errors = [float((network(images) - truth).square().sum())
                  for network in (before, made("plain", QUICK))]  # fmt: skip
    assert errors[1] < 0.7 * errors[0]


def test_the_seed_decides(
    captured: Callable[[str], Network], made: Callable[[str, AdaRound], Network],
    tiny_data: Dataset,
) -> None:  # fmt: skip
    recipe = Recipe("x", (*BEFORE, QUICK))
    again = recipe.apply(captured("plain"), tiny_data.split("calibration")).network
    for name, layer in quantized_layers(made("plain", QUICK)).items():
        assert torch.equal(layer.weight_codes, quantized_layers(again)[name].weight_codes)


def test_biases_keep_their_values_when_scales_change(
    captured: Callable[[str], Network], made: Callable[[str, AdaRound], Network],
    tiny_data: Dataset,
) -> None:  # fmt: skip
    before = Recipe("x", BEFORE).apply(captured("plain"), tiny_data.split("calibration")).network
    kept = made("plain", replace(QUICK, scales="keep"))
    for name, layer in quantized_layers(before).items():
        new = quantized_layers(made("plain", QUICK))[name]
        assert torch.equal(quantized_layers(kept)[name].scale, layer.scale)
        assert bool((new.scale <= layer.scale).all())
        assert layer.bias_codes is not None
        assert new.bias_codes is not None
        error = (new.bias_codes * new.step - layer.bias_codes * layer.step).abs()
        assert bool((error <= 0.51 * new.step).all())


def test_a_bias_correction_may_follow_and_the_artifact_is_exact(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    recipe = Recipe("x", (Fold(), Calibrate(), Quantize(), QUICK, BiasCorrect()))
    made = recipe.apply(captured("plain"), tiny_data.split("calibration"))
    assert made.export(OnnxTarget(), tmp_path / "x.onnx", tiny_images).free_running == 0


def test_the_one_given_is_not_written_to(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("calibration")
    quantized = Recipe("x", BEFORE).apply(captured("plain"), split).network
    before = {name: value.clone() for name, value in quantized.module.state_dict().items()}
    reference = FLOAT32.apply(captured("plain")).network
    QUICK.apply(replace(quantized.copy(), reference=reference), split, silent)
    for name, value in quantized.module.state_dict().items():
        assert torch.equal(value, before[name])


def test_progress_counts_layers(captured: Callable[[str], Network], tiny_data: Dataset) -> None:
    calls: list[tuple[str, int, int]] = []
    Recipe("x", (*BEFORE, replace(QUICK, iterations=1))).apply(
        captured("plain"), tiny_data.split("calibration"), lambda *call: calls.append(call)
    )
    mine = [call for call in calls if call[0] == "adaround"]
    assert mine == [("adaround", done, 4) for done in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"images": 0}, "of one at least"), ({"iterations": 0}, "of one at least"),
        ({"batch_size": 0}, "of one at least"), ({"seed": -1}, "no negative seed"),
        ({"weight": -1.0}, "cannot weigh"), ({"weight": math.inf}, "cannot weigh"),
        ({"weight": math.nan}, "cannot weigh"), ({"scales": "max"}, "choose one of mse, keep"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused_at_once(
    settings: dict[str, Any], match: str
) -> None:
    with pytest.raises(RecipeError, match=match):
        AdaRound(**settings)
