import pytest

from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS, PRESETS, SMALL, TINY
from edgewise.quant.scheme import Scheme
from edgewise.steps.qat import Qat


def test_presets_are_named_by_themselves_and_the_baseline_is_none_of_them() -> None:
    assert {name: recipe.name for name, recipe in PRESETS.items()} == {
        name: name
        for name in (
            "fp16", "int8-weights", "int8-dynamic", "int8",
            "int8-qat", "w4a8-qat", "w4a4-qat", "w2a8-qat", "w2a2-qat",
            "small", "tiny",
        )
    }  # fmt: skip
    assert FLOAT32.name not in PRESETS


def test_what_presets_do() -> None:
    assert [step.name for step in FLOAT32.steps] == ["fold"]
    assert [step.name for step in FP16.steps] == ["fold", "half"]
    assert [step.name for step in INT8_WEIGHTS.steps] == ["fold", "weight-only"]
    assert [step.name for step in INT8_DYNAMIC.steps] == ["fold", "dynamic"]
    assert [step.name for step in INT8.steps] == ["fold", "calibrate", "quantize"]
    for recipe in (SMALL, TINY):
        assert [step.name for step in recipe.steps] == ["prune-channels", "finetune", "qat"]


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("-qat")])
def test_trained_presets_are_named_by_their_bits(name: str) -> None:
    (step,) = PRESETS[name].steps
    assert isinstance(step, Qat)
    assert Scheme.parse(name.removesuffix("-qat")) == step.scheme
    bits = [Scheme.parse(stage.partition(":")[0]) for stage in step.before]
    widths = [(one.weight_bits, one.activation_bits) for one in (*bits, step.scheme)]
    assert widths == sorted(widths, reverse=True), "every stage has fewer bits than the last"
