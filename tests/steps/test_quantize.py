from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.errors import RecipeError, UsageError
from edgewise.graph.network import Network, module_of
from edgewise.progress import silent
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.observers import METHODS
from edgewise.quant.scheme import Scheme
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize


def integer_layers(network: Network) -> list[str]:
    modules = (module_of(network.module, node) for node in network.module.graph.nodes)
    return [module.form.path for module in modules if isinstance(module, QuantizedLayer)]


def scales(network: Network) -> list[float]:
    modules = (module_of(network.module, node) for node in network.module.graph.nodes)
    return [float(module.scale) for module in modules if isinstance(module, FakeQuantize)]


@pytest.mark.parametrize("method", METHODS)
def test_every_layer_becomes_integer_by_every_method(
    method: str, captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    split = tiny_data.split("calibration")
    network = Fold().apply(captured("plain").copy(), None, silent)
    paths = [layer.form.path for _, layer in network.layers()]
    made = Quantize(ranges=method).apply(network, split, silent)
    assert integer_layers(made) == paths
    assert list(made.layers()) == []
    with torch.no_grad():
        assert bool(torch.isfinite(made(tiny_images)).all())


def test_without_calibration_before_it_quantize_calibrates_itself(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("calibration")
    alone = Quantize().apply(captured("plain").copy(), split, silent)
    before = Calibrate().apply(captured("plain").copy(), split, silent)
    after = Quantize().apply(before, split, silent)
    assert scales(alone) == scales(after)
    other = Calibrate(images=2).apply(captured("plain").copy(), split, silent)
    assert scales(Quantize().apply(other, split, silent)) != scales(alone)


def test_more_bits_mean_less_noise(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    with torch.no_grad():
        truth = captured("residual")(tiny_images)
        noises = []
        for bits in (2, 4, 8):
            step = Quantize(Scheme(bits, bits))
            made = step.apply(captured("residual").copy(), tiny_data.split("calibration"), silent)
            noises.append(float((made(tiny_images) - truth).square().sum()))
    assert noises[0] > 4 * noises[1] > 16 * noises[2] > 0


def test_keeping_every_layer_in_float_leaves_nothing_to_do(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    with pytest.raises(RecipeError, match="covers all"):
        Quantize(keep_float=("*",)).apply(
            captured("plain").copy(), tiny_data.split("calibration"), silent
        )


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"ranges": "best"}, "min-max, percentile, mse, entropy"),
        ({"keep_float": "head.*"}, "tuple of globs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_at_once(
    settings: dict[str, Any], match: str
) -> None:
    with pytest.raises(RecipeError, match=match):
        Quantize(**settings)


def test_an_unknown_profile_is_refused(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    with pytest.raises(UsageError, match="onnxruntime"):
        Quantize(profile="none").apply(
            captured("plain").copy(), tiny_data.split("calibration"), silent
        )
