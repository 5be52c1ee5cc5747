"""What a network says of its outputs."""

import pytest
from torch import nn

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.graph.regions import declared_decoder, declared_outputs
from edgewise.presets import FP16, INT8, INT8_DYNAMIC
from edgewise.recipe import Recipe
from edgewise.steps.quantize import Quantize
from edgewise.steps.store_weights import StoreWeights

CONTRACT = natural((3, 8, 12))


def network(**declared: object) -> Network:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    for name, value in declared.items():
        setattr(module, f"edgewise_{name}", value)
    return capture(module, CONTRACT)


@pytest.mark.parametrize("wrong", [None, "2", 3, {"2": 1}], ids=str)
def test_what_is_no_list_of_globs_declares_nothing(wrong: object) -> None:
    module = nn.Identity()
    module.edgewise_outputs = wrong  # type: ignore[assignment]
    assert declared_outputs(module) == ()


def test_a_decoder_has_the_size_of_the_contract_unless_it_says_another() -> None:
    assert network().decoder is None
    assert network(decoder={"classes": 3}).decoder == {"classes": 3, "height": 8, "width": 12}
    module = nn.Identity()
    module.edgewise_decoder = {"height": 4}  # type: ignore[assignment]
    assert declared_decoder(module, CONTRACT) == {"height": 4, "width": 12}


def test_declared_outputs_stay_in_float_where_something_is_quantized() -> None:
    declared = network(outputs=("2",))
    *steps, last = INT8.with_float_outputs(declared).steps
    assert tuple(steps) == INT8.with_kept_float(("2",)).steps
    assert last == StoreWeights(layers=("2",))
    for recipe in (FP16, Recipe("none", ())):
        assert recipe.with_float_outputs(declared) is recipe
    assert INT8.with_float_outputs(network()) is INT8
    (step,) = (one for one in INT8.with_float_outputs(declared).steps if isinstance(one, Quantize))
    assert step.keep_float == ("2",)
    assert INT8_DYNAMIC.with_float_outputs(declared) is INT8_DYNAMIC
