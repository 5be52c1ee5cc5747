from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_parts import Values, quantized_layers
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8
from edgewise.progress import silent
from edgewise.quant.correct import channel_means, corrected_bias
from edgewise.quant.fake import BIAS_LIMIT
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.correct import BiasCorrect
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget


def images_of(data: Dataset) -> Tensor:
    return torch.from_numpy(next(data.split("calibration").batches(1000, data.contract)))


def mean_errors(network: Network, truth: Network, images: Tensor) -> dict[str, Tensor]:
    """Of every integer layer's output by channel, in steps of its accumulator."""
    ours, theirs = Values(network, images), Values(truth, images)
    found = {}
    for name, layer in quantized_layers(network).items():
        axis = -1 if layer.form.kind == "linear" else 1
        error = (ours[name].double() - theirs[name].double()).movedim(axis, 0).flatten(1).mean(1)
        found[name] = error / layer.step.double()
    return found


STEPS = (Fold(), Calibrate(), Quantize(Scheme(4, 8)))


@pytest.mark.parametrize("bits", [4, 8])
def test_every_channels_mean_is_that_of_the_float_network_to_a_step(
    bits: int, tiny_network: Network, tiny_data: Dataset
) -> None:
    steps = (Fold(), Calibrate(), Quantize(Scheme(bits, 8)))
    split, images = tiny_data.split("calibration"), images_of(tiny_data)
    truth = FLOAT32.apply(tiny_network).network
    made = Recipe("x", (*steps, BiasCorrect(batch_size=7))).apply(tiny_network, split).network
    for name, error in mean_errors(made, truth, images).items():
        # Half a step of rounding; the rest is float sums of another order, and codes at ties.
        noise = 1e-3 / quantized_layers(made)[name].step.double()
        assert bool((error.abs() <= 0.5 + noise).all()), name
    before = Recipe("x", steps).apply(tiny_network, split).network
    worst = [max(float(e.abs().max()) for e in mean_errors(n, truth, images).values())
             for n in (before, made)]  # fmt: skip
    assert worst[0] > 2 * worst[1]


def test_what_is_not_a_bias_stays_and_the_one_given_is_not_written_to(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("calibration")
    made = Recipe("x", STEPS).apply(captured("plain"), split).network
    before = {name: value.clone() for name, value in made.module.state_dict().items()}
    reference = FLOAT32.apply(captured("plain")).network
    corrected = BiasCorrect().apply(replace(made.copy(), reference=reference), split, silent)
    for name, value in made.module.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in corrected.module.state_dict().items():
        assert name.endswith("bias_codes") or torch.equal(value, before[name])


def test_layers_without_a_bias_get_one_and_the_artifact_holds_it(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    split = tiny_data.split("calibration")
    none = Recipe("x", STEPS).apply(captured("residual"), split).network
    assert any(layer.bias_codes is None for layer in quantized_layers(none).values())
    recipe = Recipe("x", (Fold(), Calibrate(), Quantize(), BiasCorrect()))
    made = recipe.apply(captured("residual"), split)
    for layer in quantized_layers(made.network).values():
        assert layer.bias_codes is not None
        assert layer.bias_codes.dtype == torch.int32
    assert made.export(OnnxTarget(), tmp_path / "x.onnx", tiny_images).free_running == 0


def test_the_same_images_give_the_same_biases_in_any_batches(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("calibration")
    made = [
        quantized_layers(Recipe("x", (*STEPS, step)).apply(captured("plain"), split).network)
        for step in (BiasCorrect(batch_size=1), BiasCorrect(batch_size=24), BiasCorrect(images=3))
    ]
    for name in made[0]:
        one, other, few = (found[name].bias_codes for found in made)
        assert one is not None
        assert other is not None
        assert few is not None
        assert float((one - other).abs().max()) <= 0.01 * float(one.abs().max()) + 1
    assert any(
        not torch.equal(one, few)
        for one, few in ((made[0][n].bias_codes, made[2][n].bias_codes) for n in made[0])
        if one is not None and few is not None
    )


def test_progress_counts_layers(captured: Callable[[str], Network], tiny_data: Dataset) -> None:
    calls: list[tuple[str, int, int]] = []
    recipe = Recipe("x", (*STEPS, BiasCorrect()))
    recipe.apply(
        captured("plain"), tiny_data.split("calibration"), lambda *call: calls.append(call)
    )
    mine = [call for call in calls if call[0] == "correct-bias"]
    assert mine == [("correct-bias", done, 4) for done in (1, 2, 3, 4)]


def test_codes_stay_within_what_an_accumulator_leaves_to_a_bias(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    made = INT8.apply(captured("plain"), tiny_data.split("calibration")).network
    layer = next(iter(quantized_layers(made).values()))
    for shift in (1e30, -1e30):
        codes = corrected_bias(layer, torch.full_like(layer.scale, shift).double())
        assert codes.dtype == torch.int32
        assert bool((codes.abs() < BIAS_LIMIT).all())


def test_means_are_over_images_and_positions_of_all_batches(
    captured: Callable[[str], Network],
) -> None:
    (_, conv), *_, (_, linear) = captured("plain").layers()
    maps = torch.arange(3 * 2 * 4.0).view(3, 2, 2, 2)
    assert channel_means(conv.form, torch.split(maps, 2)).tolist() == maps.mean((0, 2, 3)).tolist()
    rows = torch.arange(6.0).view(3, 2)
    assert channel_means(linear.form, torch.split(rows, 1)).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("settings", [{"images": 0}, {"batch_size": 0}])
def test_nothing_to_look_at_is_refused_before_any_work(settings: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="at least one image"):
        BiasCorrect(**settings)


def test_without_the_float_network_it_is_refused(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("calibration")
    made = Recipe("x", STEPS).apply(captured("plain"), split).network
    assert made.reference is None
    with pytest.raises(RecipeError, match="in the recipe that quantizes it"):
        BiasCorrect().apply(made, split, silent)
