import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.errors import ModelError, RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.progress import silent
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.learned import METHODS, LearnedLayer, LearnedQuantizer
from edgewise.quant.scheme import INT8, Scheme
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.material import Material
from edgewise.steps.qat import GENTLE, Qat
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.openvino.target import OpenVinoTarget
from edgewise.targets.target import Target
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.training.evaluate import evaluate

SHORT = replace(GENTLE, epochs=2, batch_size=16, shift=0, flip=False, ema=0.9)


@pytest.fixture
def material(tiny_data: Dataset) -> Material:
    return Material(
        tiny_data.split("train"), tiny_data.split("validation"), tiny_data.split("calibration")
    )


def state(network: Network) -> dict[str, Tensor]:
    return network.module.state_dict()


@pytest.mark.parametrize(
    ("target", "method"),
    [
        *((OnnxTarget(), method) for method in METHODS),
        (LiteRtTarget(), "lsq"),
        (OpenVinoTarget(), "lsq"),
        (OpenVinoTarget(), "ste"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "leaky"])
def test_every_network_is_trained_and_written_as_it_was_scored(
    target: Target, method: str, name: str, captured: Callable[[str], Network],
    material: Material, tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    if target.needs is not None:
        pytest.importorskip(target.needs)
    tiny_network = captured(name)
    step = Qat(Scheme(4, 4), method, SHORT, profile=target.profile)
    trained = step.train(tiny_network, material, silent)
    network = trained.frozen()
    kinds = {type(module) for module in network.module.modules()}
    assert QuantizedLayer in kinds
    assert not kinds & {LearnedLayer, LearnedQuantizer}
    with torch.no_grad():
        learned, frozen = trained.learned(tiny_images), network(tiny_images)
    assert torch.equal(learned, frozen)
    export = target.export(network, tmp_path / f"model{target.suffix}", tiny_images)
    assert export.worst <= 1
    assert all(one.integer for one in export.executions)
    assert len(trained.curves.loss) == 2 * 4
    assert len(trained.curves.accuracy) == 2


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 2), (2, 8), (8, 2), (3, 3)])
def test_every_width_ends_in_an_artifact_equal_to_its_twin(
    bits: tuple[int, int], captured: Callable[[str], Network], material: Material,
    tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    step = Qat(Scheme(*bits), schedule=SHORT, ends="")
    network = step.train(captured("plain"), material, silent).frozen()
    export = OnnxTarget().export(network, tmp_path / "model.onnx", tiny_images)
    assert (export.worst, export.free_running) == (0, 0)
    codes = [m for m in network.module.modules() if isinstance(m, QuantizedLayer)]
    assert {layer.kind.bits for layer in codes} == {bits[0]}


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "leaky"])
def test_the_users_network_is_never_changed(
    make_tiny: Callable[[str], nn.Module], name: str, tiny_data: Dataset, material: Material
) -> None:
    module = make_tiny(name)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    network = capture(module, tiny_data.contract, name)
    code = network.module.code
    Recipe("q", (Qat(schedule=SHORT),)).apply(network, material.calibration, silent, material)
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert network.module.code == code


def test_a_network_that_gives_maps_is_refused(
    captured: Callable[[str], Network], material: Material
) -> None:
    with pytest.raises(ModelError, match="logits of shape"):
        Qat(schedule=SHORT).train(captured("concat"), material, silent)


@pytest.mark.parametrize("stop", [1, 3, 5, 9, 11])
def test_stopped_anywhere_it_goes_on_to_the_very_same_network(
    stop: int, captured: Callable[[str], Network], material: Material, tmp_path: Path
) -> None:
    step = Qat(Scheme(2, 2), schedule=SHORT, before=("w8a8:1", "w4a4:1"))
    whole = step.train(captured("residual"), material, silent)

    class StoppedError(Exception):
        pass

    steps = 0

    def stopping(stage: str, done: int, total: int) -> None:
        nonlocal steps
        steps += stage.startswith("epoch")
        if steps == stop:
            raise StoppedError

    kept = replace(material, folder=tmp_path)
    with pytest.raises(StoppedError):
        step.train(captured("residual"), kept, stopping)
    resumed = step.train(captured("residual"), kept, silent)
    ours, theirs = state(whole.learned), state(resumed.learned)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert resumed.curves == whole.curves


def test_two_bits_learn_labels(captured: Callable[[str], Network], material: Material) -> None:
    longer = replace(SHORT, epochs=30, peak_lr=0.2, distill=0.0)
    trained = Qat(Scheme(2, 2), schedule=longer).train(captured("residual"), material, silent)
    loss = trained.curves.loss
    assert sum(loss[-8:]) < 0.7 * sum(loss[:8])
    test = material.calibration  # which training never saw a label of
    assert evaluate(trained.learned.module, test, captured("residual").contract) > 0.5


def test_placements_differ_in_where_they_round(
    captured: Callable[[str], Network], material: Material, tiny_images: Tensor
) -> None:
    outputs = {}
    for placement in ("target", "activations", "every-output"):
        step = Qat(Scheme(4, 4), schedule=SHORT, placement=placement)
        trained = step.train(captured("plain"), material, silent)
        with torch.no_grad():
            outputs[placement] = trained.learned(tiny_images)
        if placement != "target":
            with pytest.raises(RecipeError, match="only placement 'target'"):
                trained.frozen()
    assert len({tuple(values.flatten().tolist()) for values in outputs.values()}) == 3


def test_fused_and_unfused_give_the_same_artifact(
    tiny_network: Network, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    """BatchNorm folded before quantizing, or by quantizing: not a bit of the file differs."""
    if any(isinstance(part, nn.BatchNorm2d) for part in tiny_network.module.children()):
        pytest.skip("a BatchNorm that follows no convolution is a layer of its own")
    files = []
    for name, steps in (
        ("fused", (Calibrate(), Fold(), Quantize())),
        ("unfused", (Calibrate(), Quantize())),
    ):
        made = Recipe(name, steps).apply(tiny_network, tiny_data.split("calibration"))
        path = tmp_path / f"{name}.onnx"
        OnnxTarget().export(made.network, path, tiny_images)
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_layers_kept_float_are_trained_too(
    captured: Callable[[str], Network], material: Material
) -> None:
    network = captured("plain")
    step = Qat(schedule=SHORT, keep_float=("head.3",))
    trained = step.train(network, material, silent)
    quantized = [m for m in trained.frozen().module.modules() if isinstance(m, QuantizedLayer)]
    assert "head.3" not in {layer.form.path for layer in quantized}
    before, after = weights(network), weights(trained.latent)
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[path], after[path]) for path in before)


def weights(network: Network) -> dict[str, Tensor]:
    return {layer.form.path: layer.weight for _, layer in network.layers()}


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "none"}, {"ranges": "none"}, {"placement": "none"},
        {"keep_float": "head"}, {"ends": "w8"}, {"mixed": ("head",)},
        {"before": ("w8a8",)}, {"before": ("w8a8:0",)}, {"before": ("w8a8:x",)},
        {"before": ("w5a5:1",)},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Qat(INT8, **settings)


def test_a_recipe_that_trains_needs_material(
    captured: Callable[[str], Network], material: Material
) -> None:
    recipe = Recipe("q", (Qat(schedule=SHORT),))
    assert recipe.trains
    with pytest.raises(RecipeError, match="trains, and got no images"):
        recipe.apply(captured("plain"), material.calibration)
    made = recipe.apply(captured("plain"), material.calibration, silent, material)
    assert made.notes[0].curves is not None
    assert any(isinstance(m, FakeQuantize) for m in made.network.module.modules())


def test_a_recipe_that_trains_goes_through_json() -> None:
    recipe = Recipe("q", (Qat(Scheme(2, 4), "pact", SHORT, ("w8a8:3",), "", ("a*=w4a4",)),))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
