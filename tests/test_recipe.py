import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.errors import EdgewiseError, RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8, PRESETS
from edgewise.progress import Progress
from edgewise.quant.scheme import WIDTHS, Scheme
from edgewise.recipe import SCHEMA, STEPS, Recipe
from edgewise.steps.adaround import AdaRound
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.correct import BiasCorrect
from edgewise.steps.dynamic import Dynamic
from edgewise.steps.equalize import Equalize
from edgewise.steps.fold import Fold
from edgewise.steps.half import Half
from edgewise.steps.prune_channels import PruneChannels
from edgewise.steps.quantize import Quantize
from edgewise.steps.step import Step
from edgewise.steps.store_weights import StoreWeights

ALL = [FLOAT32, *PRESETS.values()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.name)
def test_a_recipe_goes_through_json_and_back(recipe: Recipe) -> None:
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@given(
    bits=st.tuples(st.sampled_from(WIDTHS), st.sampled_from(WIDTHS)),
    ranges=st.sampled_from(["min-max", "percentile", "mse", "entropy"]),
    globs=st.lists(st.text(max_size=8), max_size=3),
    images=st.integers(1, 10**9),
)
def test_any_settings_go_through_json_and_back(
    bits: tuple[int, int], ranges: str, globs: list[str], images: int
) -> None:
    steps = (
        PruneChannels(images=images, of="channels", share=1 / (images + 1), keep=tuple(globs)),
        Fold(), Equalize(sweeps=images), Calibrate(images),
        Quantize(Scheme(*bits), ranges, tuple(globs)), BiasCorrect(images),
        AdaRound(images, weight=images / 3, scales="keep"), BiasCorrect(),
    )  # fmt: skip
    recipe = Recipe("x-1_y", steps)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "recipe", [one for one in ALL if not one.trains], ids=lambda recipe: recipe.name
)
def test_the_users_network_is_never_changed(
    recipe: Recipe, tiny_name: str, make_tiny: Callable[[str], nn.Module], tiny_data: Dataset,
    tiny_images: Tensor,
) -> None:  # fmt: skip
    module = make_tiny(tiny_name)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        truth = module(tiny_images)
    network = capture(module, tiny_data.contract, tiny_name)
    code = network.module.code
    recipe.apply(network, tiny_data.split("calibration"))
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert network.module.code == code
    with torch.no_grad():
        assert torch.equal(module(tiny_images), truth)
        assert torch.allclose(network(tiny_images), truth, rtol=1e-5, atol=1e-6)


def test_applying_twice_gives_the_same(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    split = tiny_data.split("calibration")
    one, two = (PRESETS["int8"].apply(captured("residual"), split).network for _ in range(2))
    with torch.no_grad():
        assert torch.equal(one(tiny_images), two(tiny_images))


@pytest.mark.parametrize(
    "steps",
    [
        (Quantize(), Fold()), (Quantize(), Quantize()), (Quantize(), Half()),
        (Quantize(), Calibrate()), (Fold(), Calibrate()), (Calibrate(),),
        (StoreWeights(), Half()), (StoreWeights(), Quantize()), (StoreWeights(), StoreWeights()),
        (Dynamic(), Half()), (Dynamic(), Fold()), (Quantize(), Dynamic()), (Dynamic(), Dynamic()),
        (AdaRound(),), (Fold(), BiasCorrect(), Quantize()), (Quantize(), Equalize()),
        (Quantize(), AdaRound(), Fold()), (Quantize(), PruneChannels()),
        (StoreWeights(), PruneChannels()), (Dynamic(), PruneChannels()),
    ],
)  # fmt: skip
def test_orders_that_cannot_work_are_refused_when_the_recipe_is_made(
    steps: tuple[Step, ...],
) -> None:
    with pytest.raises(RecipeError, match="recipe 'x'"):
        Recipe("x", steps)


@pytest.mark.parametrize("name", ["", "-", "a b", "a/b", "..", ".x", "a.b", "a\n", "a'"])
def test_names_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="letters, digits"):
        Recipe(name, (Fold(),))


def test_missing_images_are_told_before_any_step(captured: Callable[[str], Network]) -> None:
    none = Split("none", ArrayImages(np.zeros((0, 8, 8, 3), np.uint8)), None, "")
    for data in (None, none):
        with pytest.raises(RecipeError, match="needs calibration images"):
            PRESETS["int8"].apply(captured("plain"), data)
    assert FLOAT32.apply(captured("plain"), None).recipe is FLOAT32


def test_what_a_recipe_needs_and_leaves() -> None:
    assert [(r.name, r.needs_data, r.quantizes) for r in ALL if not r.trains] == [
        ("float32", False, False), ("fp16", False, False), ("int8-weights", False, False),
        ("int8-dynamic", False, False),
        ("int8", True, True),
    ]  # fmt: skip
    assert all(r.needs_data and r.quantizes for r in ALL if r.trains)


def test_every_step_is_noted_in_order(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    made = PRESETS["int8"].apply(captured("plain"), tiny_data.split("calibration"))
    assert [note.step for note in made.notes] == ["fold", "calibrate", "quantize"]
    assert all(note.seconds >= 0 for note in made.notes)


def test_more_layers_kept_in_float_and_nothing_else() -> None:
    recipe = Recipe("x", (Fold(), Quantize(ranges="entropy", keep_float=("a",))))
    more = recipe.with_kept_float(["b", "c.*"])
    assert more.steps == (Fold(), Quantize(ranges="entropy", keep_float=("a", "b", "c.*")))
    assert recipe.steps[1] == Quantize(ranges="entropy", keep_float=("a",))
    assert recipe.with_kept_float(()) == recipe
    dynamic = Recipe("x", (Fold(), Dynamic(("a",)))).with_kept_float(["b"])
    assert dynamic.steps == (Fold(), Dynamic(("a", "b")))


def written(*steps: Any, **more: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "name": "x", "steps": list(steps), **more}


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (None, SCHEMA), ([], SCHEMA), ("int8", SCHEMA), ({}, SCHEMA),
        ({"schema": "recipe/2"}, SCHEMA), ({"schema": SCHEMA}, "name and a list"),
        ({"schema": SCHEMA, "name": "x", "steps": {}}, "name and a list"),
        ({"schema": SCHEMA, "steps": []}, "name and a list"),
        (written(name=5), "name and a list"),
        (written("fold"), "not a step; known steps are fold, equalize, prune-channels, "),
        (written({}), "not a step"), (written({"step": "prune"}), "not a step"),
        (written({"step": []}), "not a step"), (written({"step": {}}), "not a step"),
        (written({"step": "fold", "bits": 8}), "step 'fold' has no setting 'bits'; it has none"),
        (written({"step": "quantize", "bits": 8}), "it has scheme, ranges, keep_float, profile"),
        (written({"step": "calibrate", "images": "9"}, {"step": "fold"}), "'images' of step"),
        (written({"step": "calibrate", "images": 2.5}, {"step": "fold"}), "cannot be 2.5"),
        (written({"step": "calibrate", "images": True}, {"step": "fold"}), "cannot be True"),
        (written({"step": "calibrate", "images": None}, {"step": "fold"}), "cannot be None"),
        (written({"step": "calibrate", "images": 0}, {"step": "fold"}), "at least one image"),
        (written({"step": "quantize", "ranges": "best"}), "no range method 'best'"),
        (written({"step": "quantize", "ranges": ["mse"]}), "'ranges' of step 'quantize'"),
        (written({"step": "quantize", "profile": {}}), "'profile' of step 'quantize'"),
        (written({"step": "quantize", "keep_float": "head.*"}), "'keep_float' of step"),
        (written({"step": "quantize", "keep_float": [1]}), "'keep_float' of step"),
        (written({"step": "dynamic", "keep_float": "head.*"}), "'keep_float' of step 'dynamic'"),
        (written({"step": "dynamic", "bits": 4}), "no setting 'bits'; it has keep_float"),
        (written({"step": "quantize", "scheme": 8}), "'scheme' of step 'quantize'"),
        (written({"step": "quantize", "scheme": []}), "'scheme' of step 'quantize'"),
        (written({"step": "quantize", "scheme": {"bits": 8}}), "has no setting 'bits'"),
        (written({"step": "quantize", "scheme": {"weight_bits": "8"}}), "'weight_bits' of"),
        (written({"step": "quantize", "scheme": {"weight_bits": 5}}), "5 bits are not offered"),
        (written({"step": "quantize"}, {"step": "fold"}), "cannot follow"),
        (written({"step": "prune-channels", "share": 1.0}), "between 0 and 1, not 1.0"),
        (written({"step": "prune-channels", "of": "layers"}), "macs or channels, not 'layers'"),
        (written({"step": "prune-channels", "criterion": "x"}), "shapley or magnitude, not 'x'"),
        (written({"step": "prune-channels", "multiple": 0}), "at least one"),
    ],
)  # fmt: skip
def test_malformed_recipes_are_refused_with_the_place(value: Any, match: str) -> None:
    with pytest.raises(RecipeError, match=match.replace("*", r"\*").replace(".", r"\.")):
        Recipe.from_json(value)


@given(settings=st.dictionaries(st.text(max_size=8), JSON, max_size=3),
       step=JSON | st.sampled_from([kind.name for kind in STEPS]))  # fmt: skip
def test_any_json_gives_a_recipe_or_a_clear_error(settings: dict[str, Any], step: Any) -> None:
    try:
        made = Recipe.from_json(written({**settings, "step": step}))
    except RecipeError:
        return
    assert Recipe.from_json(made.to_json()) == made


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.name)
@given(value=JSON, data=st.data())
def test_any_value_of_any_setting_is_taken_or_refused(
    kind: type[Step], value: Any, data: st.DataObject
) -> None:
    names = [name for name in kind().to_json() if name != "step"] or ["none"]
    chosen = data.draw(st.sampled_from(names))
    # As short a recipe as the step may stand in.
    before = [{"step": "quantize"}] if kind.refines else []
    after = [{"step": "half"}] if kind is Calibrate else []
    try:
        made = Recipe.from_json(written(*before, {"step": kind.name, chosen: value}, *after))
    except RecipeError:
        return
    expected = tuple(value) if isinstance(value, list) else value
    if isinstance(value, dict):  # settings of its own, whose defaults are filled in
        expected = {**kind().to_json()[chosen], **value}
    assert made.to_json()["steps"][len(before)][chosen] == expected


@dataclass(frozen=True)
class Failing(Step):
    name: ClassVar[str] = "failing"

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        network.module.graph.erase_node(list(network.module.graph.nodes)[-1])
        raise RecipeError("on purpose")


def test_a_step_that_fails_half_way_leaves_the_network_as_it_was(
    captured: Callable[[str], Network], tiny_images: Tensor
) -> None:
    network = captured("plain")
    with torch.no_grad():
        truth = network(tiny_images)
    with pytest.raises(EdgewiseError, match="on purpose"):
        Recipe("x", (Fold(), Failing())).apply(network)
    with torch.no_grad():
        assert torch.equal(network(tiny_images), truth)
    network.module.graph.lint()


def test_a_recipe_without_steps_changes_nothing(
    captured: Callable[[str], Network], tiny_images: Tensor
) -> None:
    made = Recipe("nothing", ()).apply(captured("plain"))
    with torch.no_grad():
        assert torch.equal(made.network(tiny_images), captured("plain")(tiny_images))


def test_steps_that_refine_see_the_float_network_and_leave_it_behind(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    seen: list[Network] = []

    @dataclass(frozen=True)
    class Looking(Step):
        name: ClassVar[str] = "looking"
        refines: ClassVar[bool] = True

        def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
            assert network.reference is not None
            seen.append(network.reference)
            return network

    recipe = Recipe("x", (Fold(), Calibrate(), Quantize(), Looking(), Looking()))
    made = recipe.apply(captured("plain"), tiny_data.split("calibration")).network
    assert made.reference is None
    assert len(seen) == 2
    with torch.no_grad():
        truth = FLOAT32.apply(captured("plain")).network(tiny_images)
        for reference in seen:
            assert torch.equal(reference(tiny_images), truth)


def test_ranges_come_from_as_many_images_as_are_asked_for() -> None:
    recipe = INT8.calibrated_on(2000)
    assert [step.images for step in recipe.steps if isinstance(step, Calibrate)] == [2000]
    assert recipe.calibrated_on(256) == INT8
    with pytest.raises(RecipeError, match="at least one image"):
        INT8.calibrated_on(0)
