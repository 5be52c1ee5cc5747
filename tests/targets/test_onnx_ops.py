"""Every operation that can be written: in float as PyTorch computes it, on integers as the twin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import UnsupportedOpError
from edgewise.graph.capture import capture
from edgewise.presets import FLOAT32, INT8
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx import session
from edgewise.targets.onnx.target import OnnxTarget

CONTRACT = natural((3, 8, 8))


class Between(nn.Module):
    """An operation between two convolutions, of which the second takes `channels`."""

    def __init__(self, function: Callable[..., Any], channels: int = 4) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(channels, 3, 1)
        self.gamma = nn.Parameter(torch.randn(4, 1, 1))
        self.function = function

    def forward(self, images: Tensor) -> Any:
        return self.two(self.function(self.one(images)))


class Gated(nn.Module):
    """Squeeze and excitation: a gate a channel, from the mean of each."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        gate = F.relu(self.down(images.mean((2, 3), keepdim=True)))
        return images * torch.sigmoid(self.up(gate))


def shuffled(images: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    groups = images.view(count, 2, channels // 2, height, width)
    return groups.transpose(1, 2).contiguous().view(count, channels, height, width)


def halves(images: Tensor) -> Tensor:
    left, right = images.chunk(2, 1)
    return torch.cat([right, left], 1)


# Of these the runtime moves codes: nothing but the ends of the network is float.
MOVES: dict[str, tuple[Callable[..., Any], int]] = {
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), 4),
    "max_pool2d dilated": (lambda x: F.max_pool2d(x, 2, dilation=2), 4),
    "shuffle": (shuffled, 4),
    "chunk": (halves, 4),
    "split": (lambda x: x.split([1, 3], 1)[1], 3),
    "slice": (lambda x: x[:, 1:3, 1:5, ::2], 2),
    "select": (lambda x: x[:, :, 0].unsqueeze(2), 4),
    "flatten": (lambda x: x.flatten(1).view(-1, 4, 8, 8), 4),
    "permute": (lambda x: x.permute(0, 2, 1, 3), 8),
    "upsample_nearest2d": (lambda x: F.interpolate(x, scale_factor=2.0), 4),
    "upsample by size": (lambda x: F.interpolate(x, size=(16, 12)), 4),
    "pad": (lambda x: F.pad(x, (1, 0, 1, 2)), 4),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), 1),
    "dropout": (lambda x: F.dropout(x, 0.5, False), 4),
    "relu6": (F.relu6, 4),
    "hardtanh": (lambda x: F.hardtanh(x, -0.2, 0.3), 4),
    "twice": (lambda x: F.relu(F.relu6(x)), 4),
    "add": (lambda x: x + x, 4),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), 4),
    "sigmoid": (torch.sigmoid, 4),
    "silu": (F.silu, 4),
    "cat": (lambda x: torch.cat([x, torch.sigmoid(x)], 1), 8),
    "cat, relu": (lambda x: F.relu(torch.cat([x, F.leaky_relu(x, 0.2)], 1)), 8),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), 4),
    "avg_pool2d padded": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), 4),
    "avg_pool2d ceil": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), 4),
    "avg_pool2d ceil padded": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        4,
    ),
    "avg_pool2d ceil in vain": (lambda x: F.avg_pool2d(x, 2, 2, 1, ceil_mode=True), 4),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), 4),
    "adaptive to 2": (lambda x: F.adaptive_avg_pool2d(x, 2), 4),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), 4),
    "gate": (Gated(), 4),
}
# Of these the operation itself is float, between integer layers.
ISLANDS: dict[str, tuple[Callable[..., Any], int]] = {
    "hardswish": (F.hardswish, 4),
    "hardsigmoid": (F.hardsigmoid, 4),
    "tanh": (torch.tanh, 4),
    "clamp": (lambda x: x.clamp(0.1, 0.5), 4),
    "clamp_max": (lambda x: x.clamp_max(0.5), 4),
    "numbers": (lambda x: (2 * x - 0.5) / 3 + 1, 4),
    "rsub": (lambda x: 1 - x, 4),
    "constant": (lambda x: x * torch.arange(1.0, 5.0).view(4, 1, 1), 4),
    "mean of one axis": (lambda x: x.mean(2, keepdim=True), 4),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"), 4),
    "bilinear corners": (
        lambda x: F.interpolate(x, size=(11, 16), mode="bilinear", align_corners=True), 4,
    ),
}  # fmt: skip
# These have no integer form, and run in float when asked to.
FLOATS: dict[str, tuple[Callable[..., Any], int]] = {
    "softmax": (lambda x: F.softmax(x, 1), 4),
    "log_softmax": (lambda x: F.log_softmax(x, 1), 4),
    "gelu": (F.gelu, 4),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), 4),
    "elu": (F.elu, 4),
    "mish": (F.mish, 4),
    "softplus": (F.softplus, 4),
    "prelu": (nn.PReLU(4), 4),
    "layer_norm": (nn.LayerNorm([4, 8, 8]), 4),
    "layer_norm plain": (lambda x: F.layer_norm(x, (8,)), 4),
    "exp": (torch.exp, 4),
    "log": (lambda x: torch.log(x.abs().add(1)), 4),
    "sqrt": (lambda x: torch.sqrt(x.abs()), 4),
    "neg": (torch.neg, 4),
    "pow": (lambda x: x**2, 4),
    "maximum": (lambda x: torch.maximum(x, 0.5 * x), 4),
    "minimum": (lambda x: torch.minimum(x, 0.5 * x), 4),
    "sum": (lambda x: x.sum((2, 3), keepdim=True), 4),
    "matmul": (lambda x: torch.matmul(x, x.transpose(2, 3)), 4),
    "linear of maps": (nn.Linear(8, 8), 4),
    "linear of maps, no bias": (nn.Linear(8, 8, bias=False), 4),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), 4),
    "conv_transpose2d grouped": (nn.ConvTranspose2d(4, 4, 3, groups=2, bias=False), 4),
}
# An operation without weights is named by its layer; here by the one that holds both convolutions.
KEPT = ("function", "function.*", *{f"{name.partition(' ')[0]}*" for name in FLOATS}, "abs*")
NOT_WRITTEN: dict[str, tuple[Callable[..., Any], str]] = {
    "reflection": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "pad.*constant zeros"),
    "uneven pooling": (lambda x: F.adaptive_avg_pool2d(x, 3), r"from \[8, 8\] to \[3, 3\]"),
    "divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "divisor_override"),
    "counted overhang": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), "reach beyond"),
    "scaled sum": (lambda x: torch.add(x, x, alpha=2), "alpha"),
    "whole divisions": (lambda x: torch.div(x, 2, rounding_mode="floor"), "rounding_mode"),
    "spectrum": (lambda x: torch.fft.fft2(x).abs(), "fft"),
    "one image": (lambda x: x[0:].select(0, 0).unsqueeze(0).expand(x.shape[0], -1, -1, -1),
                  "one image in the batch"),
    "mean of batch": (lambda x: x - x.mean(0, keepdim=True), "over the batch"),
    "fractions of pixels": (
        lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear"), "whole number"),
}  # fmt: skip
ALL = {**MOVES, **ISLANDS, **FLOATS}


def network(entry: tuple[Callable[..., Any], int]) -> nn.Module:
    torch.manual_seed(0)
    return Between(*entry).eval()


@pytest.mark.parametrize("name", ALL)
def test_the_artifact_is_the_network_in_float_and_the_twin_on_integers(
    name: str, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    captured = capture(network(ALL[name]), CONTRACT)
    floats = FLOAT32.apply(captured).export(OnnxTarget(), tmp_path / "f.onnx", tiny_images)
    assert floats.float_error < 1e-5
    assert all(entry.operator != "unknown" for entry in floats.executions)

    recipe = INT8.with_kept_float(KEPT if name in FLOATS else ())
    made = recipe.apply(captured, tiny_data.split("calibration"))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert export.worst <= 1
    assert {"one", "two"} <= {entry.layer for entry in export.executions if entry.integer}
    if name in MOVES:
        assert ends_of_float(export.path, tmp_path) == 2, "only the input and the output are float"


def ends_of_float(path: Path, folder: Path) -> int:
    """How often the executed graph changes between codes and floats."""
    graph = session.optimized(onnx.load(path), folder).graph
    return sum(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node)


@pytest.mark.parametrize("name", FLOATS)
def test_without_leave_to_run_in_float_it_is_refused_by_name(name: str, tiny_data: Dataset) -> None:
    with pytest.raises(UnsupportedOpError, match=f"{name.partition(' ')[0]}.* at '"):
        INT8.apply(capture(network(FLOATS[name]), CONTRACT), tiny_data.split("calibration"))


@pytest.mark.parametrize("name", NOT_WRITTEN)
def test_what_cannot_be_written_is_refused_by_name(
    name: str, tiny_images: Tensor, tmp_path: Path
) -> None:
    function, message = NOT_WRITTEN[name]
    made = FLOAT32.apply(capture(network((function, 4)), CONTRACT))
    with pytest.raises(UnsupportedOpError, match=message):
        made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []


SOME = ("relu6", "hardtanh", "twice", "max_pool2d", "pad", "gate", "chunk", "cat, relu", "add")
# 2-bit weights need a newer opset, in which every operation must still be what it was.
NARROW = [(2, 4, name) for name in ALL] + [
    (*bits, name) for bits in [(8, 4), (4, 4), (2, 8), (3, 3), (2, 2)] for name in SOME
]


@pytest.mark.parametrize(("weights", "activations", "name"), NARROW)
def test_narrow_codes_stay_in_their_bounds_and_on_integers(
    name: str, weights: int, activations: int, tiny_data: Dataset, tiny_images: Tensor,
    tmp_path: Path,
) -> None:  # fmt: skip
    recipe = narrow(weights, activations).with_kept_float(KEPT if name in FLOATS else ())
    made = recipe.apply(capture(network(ALL[name]), CONTRACT), tiny_data.split("calibration"))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert export.worst <= 1
    assert {"one", "two"} <= {entry.layer for entry in export.executions if entry.integer}
    if name in MOVES:
        assert ends_of_float(export.path, tmp_path) == 2, "only the input and the output are float"


def narrow(weights: int, activations: int) -> Recipe:
    return Recipe("narrow", (Fold(), Quantize(scheme=Scheme(weights, activations))))
