from edgewise.presets import FLOAT32, FP16, INT8, PRESETS


def test_presets_are_named_by_themselves_and_the_baseline_is_none_of_them() -> None:
    assert {name: recipe.name for name, recipe in PRESETS.items()} == {
        "fp16": "fp16",
        "int8": "int8",
    }
    assert FLOAT32.name not in PRESETS


def test_what_presets_do() -> None:
    assert [step.name for step in FLOAT32.steps] == ["fold"]
    assert [step.name for step in FP16.steps] == ["fold", "half"]
    assert [step.name for step in INT8.steps] == ["fold", "calibrate", "quantize"]
