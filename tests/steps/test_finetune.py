from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.errors import RecipeError, StorageError
from edgewise.graph.network import Network
from edgewise.progress import silent
from edgewise.quant.fake import QuantizedLayer
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.finetune import Finetune
from edgewise.steps.material import Material
from edgewise.steps.prune_links import PruneLinks
from edgewise.steps.qat import Qat
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.training.schedule import Schedule

SHORT = Schedule(epochs=2, batch_size=16, peak_lr=0.02, shift=0, flip=False)
PRUNE = PruneLinks(0.6, images=24)


@pytest.fixture
def material(tiny_data: Dataset) -> Material:
    train, validation, calibration = map(tiny_data.split, ("train", "validation", "calibration"))
    return Material(train, validation, calibration, seed=1)


def zeros(network: Network) -> dict[str, Tensor]:
    return {layer.form.path: layer.weight == 0 for _, layer in network.layers()}


def test_what_was_pruned_stays_so_and_the_rest_learns(
    captured: Callable[[str], Network], tiny_data: Dataset, material: Material
) -> None:
    split = tiny_data.split("calibration")
    pruned = PRUNE.apply(captured("plain").copy(), split, silent)
    made, curves = Finetune(SHORT).train(pruned, material, "one", silent)
    assert len(curves.accuracy) == 2
    for path, gone in zeros(pruned).items():
        assert torch.equal(zeros(made)[path], gone)
        assert bool(gone.any())
    for (_, before), (_, after) in zip(pruned.layers(), made.layers(), strict=True):
        assert not torch.equal(before.weight, after.weight)
    free, _ = Finetune(SHORT).train(replace(pruned, held=frozenset()), material, "two", silent)
    left = sum(int(gone.sum()) for gone in zeros(free).values())
    assert left < 0.2 * sum(int(gone.sum()) for gone in zeros(pruned).values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_recipe_prunes_trains_and_quantizes_with_the_links_gone(
    optimizer: str, captured: Callable[[str], Network], tiny_data: Dataset, material: Material,
    tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    schedule = replace(SHORT, optimizer=optimizer, peak_lr=0.01)
    recipe = Recipe("sparse", (PRUNE, Finetune(schedule), Qat(Scheme(8, 8), schedule=schedule)))
    assert Recipe.from_json(recipe.to_json()) == recipe
    made = recipe.apply(captured("plain"), tiny_data.split("calibration"), silent, material)
    assert [note.step for note in made.notes] == ["prune-links", "finetune", "qat"]
    export = made.export(OnnxTarget(), tmp_path / "model.onnx", tiny_images)
    assert (export.worst, export.free_running) == (0, 0)
    modules = made.network.module.modules()
    codes = [module.weight_codes for module in modules if isinstance(module, QuantizedLayer)]
    gone = sum(int((one == 0).sum()) for one in codes) / sum(one.numel() for one in codes)
    assert gone > 0.55


def test_training_goes_on_where_it_was_stopped(
    captured: Callable[[str], Network], tiny_data: Dataset, material: Material, tmp_path: Path
) -> None:
    pruned = PRUNE.apply(captured("plain").copy(), tiny_data.split("calibration"), silent)
    whole, _ = Finetune(SHORT).train(pruned, material, "whole", silent)
    kept = replace(material, folder=tmp_path)

    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage.startswith("epoch 2"):
            raise StopError

    with pytest.raises(StopError):
        Finetune(SHORT).train(pruned, kept, "one", stop)
    again, _ = Finetune(SHORT).train(pruned, kept, "one", silent)
    ours, theirs = again.module.state_dict(), whole.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with pytest.raises(StorageError, match="another network"):
        Finetune(SHORT).train(replace(pruned, held=frozenset()), kept, "one", silent)


def test_images_alone_are_refused(captured: Callable[[str], Network], tiny_data: Dataset) -> None:
    recipe = Recipe("tuned", (Finetune(SHORT),))
    with pytest.raises(RecipeError, match="trains"):
        recipe.apply(captured("plain"), tiny_data.split("calibration"))


def test_training_leaves_the_network_and_its_teacher_as_they_were(
    captured: Callable[[str], Network], tiny_data: Dataset, material: Material
) -> None:
    """Not even where in memory their values lie: that decides how sums are rounded."""
    network = captured("plain")
    before = [(p.stride(), p.clone()) for p in network.module.parameters()]
    schedule = replace(SHORT, epochs=1, distill=1.0)
    recipe = Recipe("tuned", (Finetune(schedule), Qat(Scheme(8, 8), schedule=schedule)))
    recipe.apply(network, tiny_data.split("calibration"), silent, material)
    for (stride, value), after in zip(before, network.module.parameters(), strict=True):
        assert after.stride() == stride
        assert torch.equal(after, value)
