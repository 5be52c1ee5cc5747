"""Tiny networks of every shape that matters, and tiny data, made once."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import natural
from edgewise.data.splits import array_split
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import INT8
from edgewise.recipe import Compressed

SHAPE = (3, 8, 8)

# Of two cores: a process that has a twin beside it takes one.
_THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
torch.set_num_threads(_THREADS)
settings.register_profile("edgewise", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgewise")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """What a test sets does not reach the next one."""
    yield
    if torch.get_num_threads() != _THREADS:
        torch.set_num_threads(_THREADS)


class Plain(nn.Module):
    """Convolutions with and without bias and BatchNorm, max pooling, a classifier of two layers."""

    edgewise_regions = {"body": ("body*",), "head": ("head*",)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Conv2d(6, 5, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """A skip connection, one convolution without BatchNorm or bias, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.one = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.two = nn.Sequential(nn.Conv2d(6, 6, 1, bias=False), nn.BatchNorm2d(6))
        self.head = nn.Linear(6, 4, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        stem = F.relu(self.stem(images))
        both = F.relu(stem + self.two(F.relu(self.one(stem))))
        return self.head(both.mean((2, 3)))  # type: ignore[no-any-return]


class Depthwise(nn.Module):
    """Groups, a depthwise convolution, relu6, a BatchNorm without affine parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(),
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
            nn.BatchNorm2d(6, affine=False), nn.ReLU6(),
            nn.Conv2d(6, 8, 1, groups=2), nn.BatchNorm2d(8),
            nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).flatten(1))  # type: ignore[no-any-return]


class Concat(nn.Module):
    """Two branches joined, a BatchNorm on its own, upsampling, a map as output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(4, 3, 1)
        self.right = nn.Conv2d(4, 3, 3, padding=1)
        self.last = nn.Conv2d(9, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = F.relu(self.first(images))
        normal = F.relu(self.norm(F.avg_pool2d(first, 2)))
        left = F.interpolate(self.left(normal), scale_factor=2.0)
        joined = torch.cat([left, F.relu(self.right(first)), images[:, :, ::2, ::2]], 1)
        return self.last(joined)  # type: ignore[no-any-return]


class Leaky(nn.Module):
    """Activations that no runtime fuses: leaky ReLU and SiLU."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5))
        self.two = nn.Conv2d(5, 5, 3, padding=1)
        self.head = nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        one = F.leaky_relu(self.one(images), 0.1)
        return self.head(F.silu(self.two(one)).mean((2, 3)))  # type: ignore[no-any-return]


TINY: Mapping[str, Callable[[], nn.Module]] = {
    "plain": Plain, "residual": Residual, "depthwise": Depthwise, "concat": Concat, "leaky": Leaky,
}  # fmt: skip


def _made(name: str) -> nn.Module:
    """A tiny network with weights and BatchNorm statistics as if it had been trained."""
    torch.manual_seed(sorted(TINY).index(name))
    module = TINY[name]().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.3, 2.0)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.2)
    return module


@pytest.fixture(scope="session")
def make_tiny() -> Callable[[str], nn.Module]:
    """A fresh tiny network by name, always with the same weights."""
    return _made


@pytest.fixture(scope="session", params=list(TINY))
def tiny_name(request: pytest.FixtureRequest) -> str:
    """Every tiny network in turn."""
    return str(request.param)


@pytest.fixture
def tiny_module(tiny_name: str) -> nn.Module:
    return _made(tiny_name)


@pytest.fixture(scope="session")
def captured() -> Callable[[str], Network]:
    """A tiny network by name, captured once: for reading only."""
    known: dict[str, Network] = {}

    def find(name: str) -> Network:
        if name not in known:
            known[name] = capture(_made(name), natural(SHAPE), name)
        return known[name]

    return find


@pytest.fixture
def tiny_network(tiny_name: str, captured: Callable[[str], Network]) -> Network:
    return captured(tiny_name)


@pytest.fixture(scope="session")
def quantized(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> Callable[[str], Compressed]:
    """A tiny network by name, folded and quantized to 8 bits once: for reading only."""
    known: dict[str, Compressed] = {}

    def find(name: str) -> Compressed:
        if name not in known:
            known[name] = INT8.apply(captured(name), tiny_data.split("calibration"))
        return known[name]

    return find


@pytest.fixture
def tiny_int8(tiny_name: str, quantized: Callable[[str], Compressed]) -> Compressed:
    return quantized(tiny_name)


def _images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Blurred noise whose brightest quarter says the class, of four."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, count)
    pixels = draw.integers(0, 120, (count, 8, 8, 3))
    for image, label in zip(pixels, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 120
    return pixels.astype(np.uint8), labels


@pytest.fixture(scope="session")
def tiny_data() -> Dataset:
    """Four separable classes, 3x8x8."""
    sizes = {"train": 64, "calibration": 24, "validation": 16, "test": 40}
    splits: list[Split] = [
        array_split(name, *_images(size, seed)) for seed, (name, size) in enumerate(sizes.items())
    ]
    return Dataset("tiny", tuple("abcd"), natural(SHAPE), tuple(splits))


@pytest.fixture(scope="session")
def tiny_images(tiny_data: Dataset) -> Tensor:
    """Eight network inputs."""
    return torch.from_numpy(next(tiny_data.split("test").batches(8, tiny_data.contract)))


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of images as a file that commands take, labelled."""
    pixels, labels = _images(160, 9)
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, images=pixels, labels=labels)
    return path


@pytest.fixture(scope="session")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes so many 32x32 images of two classes, dark and bright, as a file."""

    def write(count: int) -> Path:
        draw = np.random.default_rng(0)
        labels = np.arange(count) % 2
        pixels = draw.integers(0, 100, (count, 32, 32, 3)) + 120 * labels[:, None, None, None]
        path = tmp_path_factory.mktemp("large") / "shades.npz"
        np.savez(path, images=pixels.astype(np.uint8), labels=labels)
        return path

    return write


@pytest.fixture(scope="session")
def large_npz(shades: Callable[[int], Path]) -> Path:
    return shades(40)
