"""What cannot be captured is refused, and the refusal names the layer."""

from collections.abc import Callable

import pytest
import torch
from own_forward import Own, conv
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.errors import CaptureError, ModelError
from edgewise.graph.capture import capture

CONTRACT = natural((3, 8, 8))


class TwoInputs(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class ByValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        images = self.conv(images)
        return images if images.mean() > 0 else -images


class PartInPlace(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        result = images * 2
        result[:, :1].relu_()
        return result


class OtherViewInPlace(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        result = images * 2
        flat = result.flatten(1)
        result.relu_()
        return flat


def failing(own: Own, images: Tensor) -> Tensor:
    raise KeyError("own")


REFUSED: dict[str, tuple[Callable[[], nn.Module], type[Exception], str]] = {
    "two inputs": (TwoInputs, CaptureError, r"takes 2 inputs \(left, right\)"),
    "control flow": (
        lambda: nn.Sequential(nn.ReLU(), ByValue()), CaptureError, "at '1' decides by the values",
    ),
    "a number from a value": (
        lambda: Own(lambda own, x: x[:, : int(x.max().item())]), CaptureError, "decides by",
    ),
    "batch of two": (
        lambda: Own(lambda own, x: x.view(2, -1)), CaptureError, "one batch size only",
    ),
    "batch of one": (
        lambda: nn.Sequential(nn.Flatten(0), nn.Linear(192, 4), nn.Unflatten(0, (1, 4))),
        CaptureError, "one image at a time at '1'",
    ),
    "another size": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 4)), ModelError, "3x8x8.* at '1'.*shape",
    ),
    "no tensor": (lambda: Own(lambda own, x: 3), ModelError, "returns int"),
    "nothing": (lambda: Own(lambda own, x: []), ModelError, "returns list"),
    "own failure": (lambda: Own(failing), ModelError, "KeyError: 'own'"),
    "no batch": (lambda: Own(lambda own, x: x.sum()), ModelError, "keep the batch"),
    "constant": (lambda: Own(lambda own, x: torch.ones(2, 3)), CaptureError, "depend on its input"),
    "random": (
        lambda: Own(lambda own, x: F.dropout(x, 0.5, training=True)), CaptureError, "random",
    ),
    "part in place": (PartInPlace, CaptureError, "relu_.*changes a part"),
    "other view": (OtherViewInPlace, CaptureError, "relu_.*changes a part"),
    "weights from input": (
        lambda: Own(lambda own, x: F.conv2d(x, own.conv.weight * x.mean()), conv=conv(3, 4, 1)),
        CaptureError, "conv2d.*depend on the input",
    ),
    "no statistics": (
        lambda: nn.Sequential(conv(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        CaptureError, "'1' has no running statistics",
    ),
    "features, lone": (
        lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192)), CaptureError, "'1' follows no",
    ),
    "half": (lambda: conv(3, 4, 1).half(), ModelError, r"float16 values, first in 'weight'.*float"),
    "double": (lambda: conv(3, 4, 1).double(), ModelError, "float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_captured_is_refused_by_name(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as refused:
        capture(make(), CONTRACT)
    assert len(str(refused.value)) < 500
    assert capfd.readouterr() == ("", ""), "torch's own words are not for the user"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    norm = nn.BatchNorm2d(4)
    assert norm.running_var is not None
    norm.running_var[2] = value
    module = nn.Sequential(conv(3, 4, 1), norm)
    with pytest.raises(ModelError, match=r"not finite, first in '1\.running_var'"):
        capture(module, CONTRACT)
