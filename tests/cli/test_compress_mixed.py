from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.bundle import read_bundle
from edgewise.errors import RecipeError
from edgewise.presets import FLOAT32, INT8, PRESETS
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.qat import Qat
from edgewise.steps.quantize import Quantize

Said = Callable[..., tuple[int, Any, str]]

_REGIONS = """
from net import Net

class Named(Net):
    edgewise_regions = {"front": ("body*",), "back": ("head*",)}

def named():
    return Named()
"""


def test_float_4_and_8_bits_by_region_in_one_network(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(net.parent))
    (net.parent / "named.py").write_text(_REGIONS)
    common = ("compress", f"{net.parent}/named.py:named", "--data", tiny_npz, "--input-shape",
              "3,8,8", "--recipe", "int8", "--target", "onnx", "--test-images", "4")  # fmt: skip
    code, _, err = said(*common, "--mixed", "back=w4a8", "--mixed", "*=w2a8", "-o", tmp_path / "a")
    assert code == 0, err
    quantizers = (tmp_path / "a/int8/quant.json").read_text()
    assert '"int4"' in quantizers
    assert '"int2"' in quantizers
    code, _, err = said(*common, "--mixed", "front=w4a8", "--keep-float", "back",
                        "-o", tmp_path / "b")  # fmt: skip
    assert code == 0, err
    made = read_bundle(tmp_path / "b")
    result = made.record(made.manifest["records"]["export"]["int8"])["result"]
    assert [(one["layer"], one["integer"]) for one in result["executions"]] == [
        ("body.0", True), ("head", False),
    ]  # fmt: skip
    assert [(one["before"], one["after"], one["place"]) for one in result["boundaries"]] == [
        (["input"], ["body.0"], "input"), (["adaptive_avg_pool2d"], ["head"], "inside"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--recipe", "int8", "--mixed", "head"], 5, "say GLOB=w4a8"),
        (["--recipe", "int8", "--mixed", "neck=w4a8"], 5, "no quantized layer is called 'neck'"),
        (["--recipe", "int8", "--keep-float", "neck"], 5, "nothing in"),
        (["--recipe", "fp16", "--mixed", "head=w4a8"], 2, "fp16 has none"),
    ],
)
def test_what_covers_nothing_or_cannot_be_is_said(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path, arguments: list[str], code: int,
    text: str,
) -> None:  # fmt: skip
    got, answer, _ = said("compress", f"{net}:sized", "--data", tiny_npz, *arguments, "--target",
                          "onnx", "-o", tmp_path / "out")  # fmt: skip
    assert got == code, answer
    assert text in answer["error"]


def test_schemes_given_come_before_those_of_the_recipe() -> None:
    recipe = Recipe("mine", (Fold(), Quantize(Scheme(4, 4), mixed=("head=w2a8",))))
    quantize = recipe.with_mixed(("head=w8a8", "body=w2a2")).steps[1]
    assert isinstance(quantize, Quantize)
    assert quantize.mixed == ("head=w8a8", "body=w2a2", "head=w2a8")
    for name, preset in PRESETS.items():
        changed = preset.with_mixed(("head=w4a8",))
        assert (changed != preset) == preset.quantizes, name
        assert all(
            step.mixed[0] == "head=w4a8"
            for step in changed.steps
            if isinstance(step, Quantize | Qat)
        )
    assert FLOAT32.with_mixed(("x=w8a8",)) == FLOAT32
    with pytest.raises(RecipeError):
        INT8.with_mixed(("head",))
