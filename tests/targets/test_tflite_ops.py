"""Every operation that can be written: in float as PyTorch computes it, on integers as the twin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import UnsupportedOpError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.tflite.session import runner
from edgewise.targets.tflite.target import LiteRtTarget

CONTRACT = natural((3, 8, 8))
ON_LITERT = INT8.placed_for("litert")


class Between(nn.Module):
    """An operation between two convolutions, of which the second takes `channels`."""

    def __init__(self, function: Callable[..., Any], channels: int = 4) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(channels, 3, 1)
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


class Classified(nn.Module):
    """An image of several rows and channels flattened in the network's order, NCHW."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * 8 * 8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1)).view(-1, 5, 1, 1)  # type: ignore[no-any-return]


def shuffled(images: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    groups = images.view(count, 2, channels // 2, height, width)
    return groups.transpose(1, 2).contiguous().view(count, channels, height, width)


def halves(images: Tensor) -> Tensor:
    left, right = images.chunk(2, 1)
    return torch.cat([right, left], 1)


class Odd(nn.Module):
    """A stride of two over odd sizes, where SAME pads as many in front."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 6, 3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images[:, :, :7, :5])  # type: ignore[no-any-return]


Entry = tuple[Callable[..., Any], int]

torch.manual_seed(0)

CONVOLUTIONS: dict[str, Entry] = {
    "stride": (nn.Conv2d(4, 6, 3, 2, 1), 6),
    "stride of an odd size": (Odd(), 6),
    "same": (nn.Conv2d(4, 6, 5, padding="same"), 6),
    "valid": (nn.Conv2d(4, 6, 3), 6),
    "dilated": (nn.Conv2d(4, 6, 3, padding=2, dilation=2), 6),
    "oblong": (nn.Conv2d(4, 6, (1, 3), (1, 2), (0, 1)), 6),
    "wide padding": (nn.Conv2d(4, 6, 3, padding=3, bias=False), 6),
    "groups": (nn.Conv2d(4, 6, 3, groups=2, padding=1), 6),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, padding=1), 4),
    "depthwise, stride": (nn.Conv2d(4, 4, 3, 2, 1, groups=4), 4),
    "depthwise, twice as many": (nn.Conv2d(4, 8, 3, groups=4, padding=1), 8),
    "depthwise, dilated": (nn.Conv2d(4, 4, 3, groups=4, padding=2, dilation=2), 4),
    "classifier": (Classified(), 5),
}
CODES: dict[str, Entry] = {
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), 4),
    "max_pool2d of negatives": (lambda x: F.max_pool2d(x.clamp(-1.0, -0.1), 3, 2, 1), 4),
    "max_pool2d same": (lambda x: F.max_pool2d(x, 3, 1, 1), 4),
    "shuffle": (shuffled, 4),
    "chunk": (halves, 4),
    "split": (lambda x: x.split([1, 3], 1)[1], 3),
    "slice": (lambda x: x[:, 1:3, 1:5, ::2], 2),
    "slice from the end": (lambda x: x[:, -3:, :-1], 3),
    "select": (lambda x: x[:, :, 0].unsqueeze(2), 4),
    "flatten": (lambda x: x.flatten(1).view(-1, 4, 8, 8), 4),
    "permute": (lambda x: x.permute(0, 2, 1, 3), 8),
    "permute cyclic": (lambda x: x.permute(0, 2, 3, 1), 8),
    "upsample_nearest2d": (lambda x: F.interpolate(x, scale_factor=2.0), 4),
    "upsample by size": (lambda x: F.interpolate(x, size=(16, 12)), 4),
    "pad": (lambda x: F.pad(x, (1, 0, 1, 2)), 4),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), 1),
    "dropout": (lambda x: F.dropout(x, 0.5, False), 4),
    "relu": (F.relu, 4),
    "relu6": (lambda x: F.relu6(20 * x), 4),
    "hardtanh": (lambda x: F.hardtanh(x, -0.2, 0.3), 4),
    "twice": (lambda x: F.relu(F.relu6(x)), 4),
    "relu after a pool": (lambda x: F.relu(F.max_pool2d(x, 2)), 4),
    "add": (lambda x: x + x, 4),
    "add, relu6": (lambda x: F.relu6(4 * x + F.sigmoid(x)), 4),
    "sub": (lambda x: torch.sigmoid(x) - x, 4),
    "mul": (lambda x: x * torch.tanh(x), 4),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), 4),
    "sigmoid": (torch.sigmoid, 4),
    "tanh": (torch.tanh, 4),
    "silu": (F.silu, 4),
    "hardswish": (F.hardswish, 4),
    "cat": (lambda x: torch.cat([x, torch.sigmoid(x)], 1), 8),
    "cat of rows": (lambda x: torch.cat([x, x], 2), 4),
    "cat, relu": (lambda x: F.relu(torch.cat([x, F.leaky_relu(x, 0.2)], 1)), 8),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), 4),
    "avg_pool2d counted": (lambda x: F.avg_pool2d(x, 3, 2, 1), 4),
    "avg_pool2d divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), 4),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), 4),
    "adaptive to 2": (lambda x: F.adaptive_avg_pool2d(x, 2), 4),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), 4),
    "mean, flat": (lambda x: x.mean((2, 3)).view(-1, 4, 1, 1), 4),
    "mean of one axis": (lambda x: x.mean(2).unsqueeze(2), 4),
    "gate": (Gated(), 4),
}
# Of these the operation itself is float, between integer layers.
ISLANDS: dict[str, Entry] = {
    "avg_pool2d padded": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), 4),
    "avg_pool2d same": (lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), 4),
    "avg_pool2d ceil": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), 4),
    "avg_pool2d ceil counted": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), 4),
    "hardsigmoid": (F.hardsigmoid, 4),
    "clamp": (lambda x: x.clamp(0.1, 0.5), 4),
    "clamp_max": (lambda x: x.clamp_max(0.5), 4),
    "numbers": (lambda x: (2 * x - 0.5) / 3 + 1, 4),
    "rsub": (lambda x: 1 - x, 4),
    "constant": (lambda x: x * torch.arange(1.0, 5.0).view(4, 1, 1), 4),
    "constant row": (lambda x: x + torch.arange(8.0), 4),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"), 4),
    "bilinear corners": (
        lambda x: F.interpolate(x, size=(11, 16), mode="bilinear", align_corners=True), 4,
    ),
}  # fmt: skip
# These have no integer form, and run in float when asked to.
FLOATS: dict[str, Entry] = {
    "softmax": (lambda x: F.softmax(x, 1), 4),
    "softmax of rows": (lambda x: F.softmax(x, 2), 4),
    "softmax of columns": (lambda x: F.softmax(x.flatten(2), 1).view(-1, 4, 8, 8), 4),
    "log_softmax": (lambda x: F.log_softmax(x, 3), 4),
    "gelu": (F.gelu, 4),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), 4),
    "elu": (F.elu, 4),
    "prelu": (nn.PReLU(4), 4),
    "prelu of one": (nn.PReLU(), 4),
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
}
KEPT = ("function", "function.*", *{f"{name.partition(' ')[0]}*" for name in FLOATS}, "abs*")
NOT_WRITTEN: dict[str, tuple[Callable[..., Any], str]] = {
    "reflection": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "pad.*constant zeros"),
    "cropping": (lambda x: F.pad(x, (-1, -1)), "constant zeros"),
    "uneven pooling": (lambda x: F.adaptive_avg_pool2d(x, 3), r"from \[8, 8\] to \[3, 3\]"),
    "dilated pooling": (lambda x: F.max_pool2d(x, 2, dilation=2), "with dilation"),
    "scaled sum": (lambda x: torch.add(x, x, alpha=2), "alpha"),
    "whole divisions": (lambda x: torch.div(x, 2, rounding_mode="floor"), "rounding_mode"),
    "spectrum": (lambda x: torch.fft.fft2(x).abs(), "fft"),
    "mean of batch": (lambda x: x - x.mean(0, keepdim=True), "over the batch"),
    "running sum": (lambda x: torch.cumsum(x, 1), "cumsum"),
    "softplus": (F.softplus, "softplus"),
    "transposed": (nn.ConvTranspose2d(4, 4, 3), "conv_transpose2d"),
    "elu of its own": (lambda x: F.elu(x, 0.5), "alpha"),
    "fractions of pixels": (
        lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear"), "whole number"),
}  # fmt: skip
ALL = {**CONVOLUTIONS, **CODES, **ISLANDS, **FLOATS}


# Numbers and clamps are computed in float, between the codes.
MIXED = ("max_pool2d of negatives", "add, relu6", "relu6")


@pytest.fixture(scope="session")
def captured_op() -> Callable[[str], Network]:
    """A network around an operation, captured once: for reading only."""
    known: dict[str, Network] = {}

    def find(name: str) -> Network:
        if name not in known:
            known[name] = captured(ALL[name])
        return known[name]

    return find


def captured(entry: Entry) -> Network:
    torch.manual_seed(0)
    return capture(Between(*entry).eval(), CONTRACT)


@pytest.mark.parametrize("name", ALL)
def test_in_float_the_artifact_is_the_network_with_and_without_xnnpack(
    name: str, tiny_images: Tensor, tmp_path: Path, captured_op: Callable[[str], Network]
) -> None:
    made = FLOAT32.apply(captured_op(name))
    export = made.export(LiteRtTarget(), tmp_path / "f.tflite", tiny_images)
    assert export.float_error < 1e-5
    assert not any(entry.integer for entry in export.executions)
    (plain,) = runner(export.path.read_bytes(), xnnpack=False)(tiny_images.numpy())
    with torch.no_grad():
        ours = made.network(tiny_images).numpy()
    assert abs(plain - ours).max() < 1e-5 * abs(ours).max()


@pytest.mark.parametrize("name", ALL)
def test_on_integers_the_artifact_is_the_twin(
    name: str, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path, operators: Any,
    captured_op: Callable[[str], Network],
) -> None:  # fmt: skip
    recipe = ON_LITERT.with_kept_float(KEPT if name in FLOATS else ())
    made = recipe.apply(captured_op(name), tiny_data.split("calibration"))
    export = made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert export.worst <= 1
    assert {"one", "two"} <= {entry.layer for entry in export.executions if entry.integer}
    if name in CONVOLUTIONS:
        assert all(check.off == 0 for check in export.checks)
        assert export.integer_share == 1
    if name in CODES and name not in MIXED:
        kinds = [one.name for one in operators(export.path)]
        assert kinds.count("DEQUANTIZE") == 1, "only the output is float"


@pytest.mark.parametrize("name", FLOATS)
def test_without_leave_to_run_in_float_it_is_refused_by_name(
    name: str, tiny_data: Dataset, captured_op: Callable[[str], Network]
) -> None:
    with pytest.raises(UnsupportedOpError, match=f"{name.partition(' ')[0]}.* at '"):
        ON_LITERT.apply(captured_op(name), tiny_data.split("calibration"))


@pytest.mark.parametrize("name", NOT_WRITTEN)
def test_what_cannot_be_written_is_refused_by_name(
    name: str, tiny_images: Tensor, tmp_path: Path
) -> None:
    function, message = NOT_WRITTEN[name]
    made = FLOAT32.apply(captured((function, 4)))
    with pytest.raises(UnsupportedOpError, match=message):
        made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert list(tmp_path.iterdir()) == []


SOME = ("relu6", "hardtanh", "twice", "gate", "cat, relu", "add", "classifier")


@pytest.mark.parametrize("bits", [(8, 4), (4, 8), (2, 2)], ids=str)
@pytest.mark.parametrize("name", SOME)
def test_narrow_codes_stay_in_their_bounds_and_on_integers(
    name: str, bits: tuple[int, int], tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
    captured_op: Callable[[str], Network],
) -> None:  # fmt: skip
    recipe = Recipe("narrow", (Fold(), Quantize(Scheme(*bits), profile="litert")))
    made = recipe.apply(captured_op(name), tiny_data.split("calibration"))
    export = made.export(LiteRtTarget(), tmp_path / "m.tflite", tiny_images)
    assert export.worst <= 1
    assert export.integer_share == 1
