"""Combinations that runtimes rewrite; each was once wrong somewhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from target_recipes import W2A2, W4A4
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset
from edgewise.graph.capture import capture
from edgewise.presets import INT8
from edgewise.recipe import Recipe
from edgewise.targets.onnx.target import OnnxTarget

Middle = Callable[[Tensor, Tensor], Tensor]


class Between(nn.Module):
    """Two convolutions of the image, joined by what is tested, then a third."""

    def __init__(self, middle: Middle, channels: int = 4) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(3, 4, 1)
        self.three = nn.Conv2d(channels, 4, 3, padding=1)
        self.middle = middle

    def forward(self, images: Tensor) -> Tensor:
        one, two = self.one(images), self.two(images)
        return self.three(self.middle(one, two))  # type: ignore[no-any-return]


JOINED: dict[str, Middle] = {
    "product": lambda one, two: F.relu(one * two),
    "difference": lambda one, two: F.relu(one - two),
    "sum read twice": lambda one, two: F.relu(one + two) * (one + two),
    "pooled": lambda one, two: F.relu(F.max_pool2d(one, 2)) + F.relu6(F.avg_pool2d(two, 2)),
    "read twice": lambda one, two: F.relu(one) + one + F.relu6(two),
    "gated": lambda one, two: one * torch.sigmoid(two.mean((2, 3), keepdim=True)),
    "unfused": lambda one, two: F.leaky_relu(F.relu(one)) + F.silu(F.hardtanh(two)),
    "turned": lambda one, two: F.relu(one.permute(0, 1, 3, 2)) + two,
    "clipped twice": lambda one, two: F.relu(F.relu6(one)) + F.hardtanh(F.relu(two)),
    "clipped thrice": lambda one, two: F.relu(F.hardtanh(F.relu6(one))) + two,
    "clipped apart": lambda one, two: F.relu(F.hardtanh(one, -1.0, -0.2)) + two,
    "clipped apart again": lambda one, two: F.hardtanh(F.relu(one), -1.0, -0.2) + two,
    "clipped sum": lambda one, two: F.relu6(F.relu(one + two)),
    "clipped after pooling": lambda one, two: (
        F.relu6(F.relu(F.max_pool2d(one, 2))) + F.relu(F.relu6(F.avg_pool2d(two, 2)))
    ),
    "clipped sigmoid": lambda one, two: F.hardtanh(torch.sigmoid(two), 0.2, 0.6) + F.relu6(one),
}


def exported(
    make: Callable[[], nn.Module], data: Dataset, path: Path, recipe: Recipe = INT8
) -> None:
    torch.manual_seed(0)
    images = torch.from_numpy(next(data.split("test").batches(8, data.contract)))
    network = capture(make().eval(), data.contract)
    made = recipe.apply(network, data.split("calibration"))
    export = made.export(OnnxTarget(), path, images)
    assert export.worst <= 1
    assert export.integer_share == 1


@pytest.mark.parametrize("recipe", [INT8, W4A4, W2A2], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("name", JOINED)
def test_an_activation_after_anything_is_what_the_network_says(
    name: str, recipe: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    exported(lambda: Between(JOINED[name]), tiny_data, tmp_path / "m.onnx", recipe)


def test_an_activation_after_a_concatenation_is_what_the_network_says(
    tiny_data: Dataset, tmp_path: Path
) -> None:
    joined: Middle = lambda one, two: F.relu(torch.cat([one, two], 1))  # noqa: E731
    exported(lambda: Between(joined, 8), tiny_data, tmp_path / "m.onnx")


class Named(nn.Module):
    """Layers that are named as things are inside the artifact."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.ModuleDict({"b": nn.Conv2d(3, 4, 1)})
        self.a_b = nn.Conv2d(4, 4, 1)
        self.input = nn.Conv2d(4, 4, 1)
        self.relu = nn.Conv2d(4, 4, 1)
        self.quantizer_0 = nn.Conv2d(4, 4, 1)
        self.output = nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        value = images
        for layer in (self.a["b"], self.a_b, self.input, self.relu, self.quantizer_0, self.output):
            value = F.relu(layer(value))
        return value


def test_layers_may_have_any_name(tiny_data: Dataset, tmp_path: Path) -> None:
    exported(Named, tiny_data, tmp_path / "m.onnx")


def test_a_layer_that_is_called_twice_is_quantized_for_each_call(
    tiny_data: Dataset, tmp_path: Path
) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 1)
            self.again = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, images: Tensor) -> Tensor:
            once = F.relu(self.again(self.first(images)))
            return F.relu(self.again(once * 5)) + once

    exported(Shared, tiny_data, tmp_path / "m.onnx")
