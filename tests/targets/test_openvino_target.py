"""What is OpenVINO's alone: what its compiler gets wrong, and what it says of itself."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from target_kinds import OPENVINO
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import ExportError, ParityError
from edgewise.graph.capture import capture
from edgewise.presets import FLOAT32, INT8, INT8_DYNAMIC
from edgewise.quant.fake import FakeQuantize
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.openvino import check, session
from edgewise.targets.target import Export

pytest.importorskip("openvino")

Make = Callable[..., Compressed]


@pytest.fixture
def make(tiny_data: Dataset) -> Make:
    def made(module: nn.Module, recipe: Recipe = INT8) -> Compressed:
        network = capture(module.eval(), natural((3, 8, 8)))
        return OPENVINO.place(recipe).apply(network, tiny_data.split("calibration"))

    return made


def exported(made: Compressed, folder: Path, images: Tensor) -> Export:
    return made.export(OPENVINO.target, folder / OPENVINO.file, images)


class Skip(nn.Module):
    """Leaky ReLU after every layer, sums, a map made larger and joined: a detector in little."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.narrow = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.wide, self.down = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.last = nn.Conv2d(16, 5, 1)

    def forward(self, images: Tensor) -> Tensor:
        stem = F.leaky_relu(self.stem(images), 0.1)
        both = stem + F.leaky_relu(self.wide(F.leaky_relu(self.narrow(stem), 0.1)), 0.1)
        up = F.interpolate(F.leaky_relu(self.down(both), 0.1), scale_factor=2.0)
        return self.last(torch.cat([up, both], 1))  # type: ignore[no-any-return]


def test_a_layer_its_activation_and_its_quantizer_are_one_operator(
    make: Make, tiny_images: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    export = exported(make(Skip()), tmp_path, tiny_images)
    assert export.worst <= 1
    model = onnx.load(export.path)
    operators = session.run(model, tiny_images[:1].numpy()).operators
    kinds = [one.kind for one in operators if one.kind not in ("Reorder", "Reshape")]
    assert kinds == [
        "Input", "Subgraph", "Convolution", "Convolution", "Convolution", "Subgraph",
        "Convolution", "Interpolate", "Concatenation", "Convolution", "Output",
    ]  # fmt: skip
    stem = next(one for one in operators if one.kind == "Convolution")
    assert {"stem", "leaky_relu"} <= set(stem.layers)


def test_zero_is_code_zero_and_codes_are_unsigned_where_nothing_is_negative(make: Make) -> None:
    torch.manual_seed(0)
    made = make(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.LeakyReLU()))
    found = [m for m in made.network.module.children() if isinstance(m, FakeQuantize)]
    assert [one.kind.name for one in found] == ["int8", "uint8", "int8"]
    assert all(float(one.zero_point) == 0 for one in found)


@pytest.mark.parametrize("bias", [True, False])
def test_products_that_it_would_join_are_right_without_a_bias_too(
    bias: bool, make: Make, tiny_images: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3, 2, 1), nn.Flatten(), nn.Linear(80, 7, bias=bias), nn.ReLU(),
        nn.Linear(7, 4, bias=bias),
    )  # fmt: skip
    export = exported(make(module), tmp_path, tiny_images)
    assert (export.worst, export.integer_share) == (0, 1)
    assert export.float_error < 1e-5


@pytest.mark.parametrize("of_input", [True, False])
def test_one_pixel_with_a_stride_runs_on_integers(
    of_input: bool, make: Make, tiny_images: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    first = [] if of_input else [nn.Conv2d(3, 3, 3), nn.ReLU()]
    export = exported(make(nn.Sequential(*first, nn.Conv2d(3, 4, 1, 2))), tmp_path, tiny_images)
    assert (export.worst, export.integer_share) == (0, 1)


def test_what_it_finds_at_every_inference_it_would_run_in_float_and_is_refused(
    make: Make, tiny_images: Tensor, tmp_path: Path
) -> None:
    made = make(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), INT8_DYNAMIC)
    with pytest.raises(ExportError, match="OpenVINO would run 0 in float although"):
        exported(made, tmp_path, tiny_images)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_it_refuses_is_an_error_in_its_words_and_the_next_one_runs(
    make: Make, tiny_images: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="was not run: OpenVINO .* cannot load it"):
        session.run(onnx.ModelProto(), tiny_images.numpy())
    made = make(nn.Sequential(nn.Conv2d(3, 4, 1)), FLOAT32)
    assert exported(made, tmp_path, tiny_images).float_error < 1e-5


def test_a_process_that_ended_is_said_and_started_again(
    make: Make, tiny_images: Tensor, tmp_path: Path
) -> None:
    made = make(nn.Sequential(nn.Conv2d(3, 4, 1)), FLOAT32)
    export = exported(made, tmp_path, tiny_images)
    model = onnx.load(export.path)
    process = session._worker(os.getpid())
    process.kill()
    process.wait()
    with pytest.raises(ExportError, match=r"ended with -9"):
        session.run(model, tiny_images.numpy())
    again = session.run(model, tiny_images.numpy()).outputs[0]
    with torch.no_grad():
        np.testing.assert_allclose(again, made.network(tiny_images).numpy(), atol=1e-5)


def test_outputs_of_other_shapes_or_values_are_refused(make: Make) -> None:
    network = make(nn.Sequential(nn.Conv2d(3, 4, 1)), FLOAT32).network
    check.check_shapes(network, [np.zeros((2, 4, 8, 8), np.float32)])
    wrong = re.escape("[[4, 8, 6]] and the network's of [[4, 8, 8]]")
    with pytest.raises(ParityError, match=wrong):
        check.check_shapes(network, [np.zeros((2, 4, 8, 6), np.float32)])
