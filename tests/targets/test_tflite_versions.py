"""Operators are stamped so that a runtime which cannot run them refuses."""

from pathlib import Path

import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from target_recipes import W4A8
from tflite_file import operators
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.presets import FLOAT32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from edgewise.recipe import Recipe
from edgewise.targets.tflite.builder import options
from edgewise.targets.tflite.session import runner
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.targets.tflite.versions import VERSIONS, Operand, find_version


class Some(nn.Module):
    """Every kind of layer, dilation, five axes, and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.depth = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
        self.head = nn.Linear(256, 6)

    def forward(self, images: Tensor) -> Tensor:
        first = self.conv(images)
        both = torch.relu(first + self.depth(first)).view(-1, 2, 2, 8, 8).transpose(1, 2)
        return self.head(both.flatten(1))  # type: ignore[no-any-return]


# What the schema's own rules ask for.
WANTED: dict[str, dict[str, int]] = {
    "float32": {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 1, "ADD": 1},
    "fp16": {"DEQUANTIZE": 3, "CONV_2D": 1},
    "int8-weights": {"DEQUANTIZE": 5, "CONV_2D": 1},
    "int8-dynamic": {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12},
    "int8": {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 12, "ADD": 2,
             "DEQUANTIZE": 2, "QUANTIZE": 1},
    "w4a8": {"CONV_2D": 3, "FULLY_CONNECTED": 12},
}  # fmt: skip


@pytest.mark.parametrize(
    "recipe", [FLOAT32, FP16, INT8_WEIGHTS, INT8_DYNAMIC, INT8, W4A8], ids=lambda one: one.name
)
def test_an_artifacts_operators_have_the_versions_that_their_forms_ask_for(
    recipe: Recipe, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = capture(Some(), natural((3, 8, 8)))
    made = recipe.placed_for("litert").apply(network, tiny_data.split("calibration"))
    export = made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    stamped: dict[str, set[int]] = {}
    for one in operators(export.path):
        stamped.setdefault(one.name, set()).add(one.version)
    for name, version in WANTED[recipe.name].items():
        assert stamped[name] == {version}, name
    first = 2 if recipe.quantizes else 1  # four axes: of floats at the input, of codes inside
    assert stamped["TRANSPOSE"] <= {1, first, 4}
    assert 4 in stamped["TRANSPOSE"]


def test_an_operator_of_an_unknown_version_is_refused(
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    """The whole point of stamping: see that the runtime looks."""
    network = capture(Some(), natural((3, 8, 8)))
    export = FLOAT32.apply(network).export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    content = bytearray(export.path.read_bytes())
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for code in model.operatorCodes:
        code.version = 99
    builder = __import__("flatbuffers").Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(Exception, match="version '99'|LiteRT refuses"):
        runner(bytes(builder.Output()))


@pytest.mark.parametrize(
    ("recipe", "version"), [(FLOAT32, 1), (FP16, 1), (INT8_DYNAMIC, 5), (INT8, 3)]
)
def test_groups_ask_for_a_later_version_than_other_convolutions(
    recipe: Recipe, version: int, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2))
    made = recipe.placed_for("litert").apply(
        capture(module, natural((3, 8, 8))), tiny_data.split("calibration")
    )
    export = made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    stamped = [one.version for one in operators(export.path) if one.name == "CONV_2D"]
    assert stamped == [version, 6]


def test_every_rule_names_an_operator_of_the_schema_and_what_it_brought() -> None:
    for name, rules in VERSIONS.items():
        assert hasattr(schema.BuiltinOperator, name)
        assert all(rule.version > 1 and rule.brought for rule in rules)


def test_the_first_rule_that_covers_decides() -> None:
    floats, codes = schema.TensorType.FLOAT32, schema.TensorType.INT8
    plain = options("DepthwiseConv2D", dilationHFactor=1, dilationWFactor=1)
    wide = options("DepthwiseConv2D", dilationHFactor=1, dilationWFactor=2)
    image, weights = Operand(floats, 4), Operand(floats, 4)
    assert find_version("DEPTHWISE_CONV_2D", [image, weights], plain) == 1
    assert find_version("DEPTHWISE_CONV_2D", [image, weights], wide) == 2
    assert find_version("DEPTHWISE_CONV_2D", [Operand(codes, 4, 1)], wide) == 3
    assert find_version("DEQUANTIZE", [Operand(codes, 4, 1)], None) == 2
    assert find_version("DEQUANTIZE", [Operand(codes, 4, 3)], None) == 5
    assert find_version("TRANSPOSE", [Operand(codes, 6, 1)], None) == 6
