"""Random networks at random widths: the artifact is the twin, on integer kernels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.graph.capture import capture
from edgewise.graph.network import Network, operation
from edgewise.quant.integer import CLIPS
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget

Draw = Callable[[st.SearchStrategy[Any]], Any]
Stage = tuple[list[nn.Module], int, int]

EXACT = ("input", "quantizedlayer")  # the rest is computed in float32, in whatever order


class Joined(nn.Module):
    """A branch, joined with its own input."""

    def __init__(self, branch: nn.Module, adds: bool) -> None:
        super().__init__()
        self.branch, self.adds = branch, adds

    def forward(self, values: Tensor) -> Tensor:
        other = self.branch(values)
        return values + other if self.adds else torch.cat([values, other], 1)


def convolution(draw: Draw, channels: int, size: int) -> Stage:
    groups = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    wide = groups * draw(st.integers(1, 2 if groups > 2 else 4))
    padding, dilation = draw(st.integers(0, 1)), draw(st.integers(1, 2))
    kernel = draw(st.integers(1, 3))
    while dilation * (kernel - 1) >= size + 2 * padding:
        kernel -= 1
    stride, bias = draw(st.integers(1, 2)), draw(st.booleans())
    layer = nn.Conv2d(channels, wide, kernel, stride, padding, dilation, groups, bias)
    after = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return [layer, *([nn.BatchNorm2d(wide)] if draw(st.booleans()) else [])], wide, after


def activation(draw: Draw, channels: int, size: int) -> Stage:
    kinds = (nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1))
    return [draw(st.sampled_from(kinds))], channels, size


def pooling(draw: Draw, channels: int, size: int) -> Stage:
    kernel, stride = draw(st.integers(1, min(3, size))), draw(st.integers(1, 2))
    padding = draw(st.integers(0, kernel // 2))
    kind = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
    return [kind(kernel, stride, padding)], channels, (size + 2 * padding - kernel) // stride + 1


def joining(draw: Draw, channels: int, size: int) -> Stage:
    adds = draw(st.booleans())
    wide = channels if adds else draw(st.integers(1, 4))
    branch = nn.Sequential(nn.Conv2d(channels, wide, 3, padding=1), *activation(draw, wide, 1)[0])
    return [Joined(branch, adds)], channels if adds else channels + wide, size


def upsampling(draw: Draw, channels: int, size: int) -> Stage:
    return ([nn.Upsample(scale_factor=2)], channels, 2 * size) if size < 9 else ([], channels, size)


@st.composite
def networks(draw: Draw) -> nn.Module:
    """A network of the image 3x8x8, as if it had been trained."""
    torch.manual_seed(draw(st.integers(0, 99)))
    stages, channels, size = convolution(draw, 3, 8)
    kinds = [convolution, activation, pooling, joining, upsampling]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5)):
        more, channels, size = kind(draw, channels, size)
        stages += more
    if draw(st.booleans()):
        head = nn.Linear(channels * size * size, 5)
        stages += [nn.Flatten(), head, nn.ReLU(), nn.Linear(5, 3, draw(st.booleans()))]
    else:
        stages += convolution(draw, channels, size)[0]
    for stage in stages:
        if isinstance(stage, nn.BatchNorm2d):
            assert stage.running_mean is not None
            assert stage.running_var is not None
            stage.running_mean.normal_(0, 0.3)
            stage.running_var.uniform_(0.3, 2.0)
            nn.init.uniform_(stage.weight, -1.5, 1.5)
            nn.init.normal_(stage.bias, 0, 0.2)
    return nn.Sequential(*stages).eval()


def quantized_operations(network: Network) -> dict[str, str]:
    """The operation whose result each quantizer rounds, past activations that it clips."""
    found = {}
    for node in network.module.graph.nodes:
        if operation(network.module, node) == "fakequantize":
            before = node.all_input_nodes[0]
            while operation(network.module, before) in CLIPS:
                before = before.all_input_nodes[0]
            found[node.name] = operation(network.module, before)
    return found


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random") / "m.onnx"


@settings(max_examples=40, derandomize=True)
@given(module=networks(), bits=st.tuples(*[st.sampled_from([8, 4, 2])] * 2))
def test_the_artifact_of_any_network_is_its_integer_twin(
    module: nn.Module, bits: tuple[int, int], tiny_data: Dataset, tiny_images: Tensor,
    artifact: Path,
) -> None:  # fmt: skip
    recipe = Recipe("random", (Fold(), Quantize(Scheme(*bits))))
    made = recipe.apply(capture(module, tiny_data.contract), tiny_data.split("calibration"))
    export = made.export(OnnxTarget(), artifact, tiny_images)
    assert export.integer_share == 1
    rounded = quantized_operations(made.network)
    assert set(rounded) == {check.tensor for check in export.checks}
    for check in export.checks:
        assert check.worst <= (0 if rounded[check.tensor] in EXACT else 1)
    if set(rounded.values()) <= set(EXACT):
        assert export.free_running == 0
