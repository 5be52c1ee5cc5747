"""darknet's networks, read from its own configurations: an oracle that shares nothing with ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

FOLDER = Path(__file__).parent.parent / "models" / "darknet"
CFGS = {"yolov3": FOLDER / "yolov3-voc.cfg", "yolov3-tiny": FOLDER / "yolov3-tiny.cfg"}

Section = tuple[str, dict[str, str]]
Floats = NDArray[np.float32]


def sections(path: Path) -> list[Section]:
    """The layers of a configuration with their options; the first is the input."""
    found: list[Section] = []
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            found.append((text.strip("[]"), {}))
        elif text:
            key, _, value = text.partition("=")
            found[-1][1][key.strip()] = value.strip()
    return found


@dataclass(frozen=True)
class Convolution:
    """What a configuration says of a convolution, and what follows from it at an input's size."""

    inputs: int
    outputs: int
    size: int
    stride: int
    norm: bool
    side: int

    @property
    def parameters(self) -> int:
        """As darknet stores them, but for running mean and variance."""
        weights = self.outputs * self.inputs * self.size**2
        return weights + self.outputs * (2 if self.norm else 1)

    @property
    def macs(self) -> int:
        return self.outputs * self.inputs * self.size**2 * self.side**2


def convolutions(path: Path) -> list[Convolution]:
    """Every convolution of a configuration, at the size of input that it names."""
    (_, start), *layers = sections(path)
    shapes: list[tuple[int, int]] = []
    found: list[Convolution] = []
    now = int(start["channels"]), int(start["width"])
    for kind, options in layers:
        channels, side = now
        step = int(options.get("stride", "1"))
        if kind == "convolutional":
            made = Convolution(
                channels, int(options["filters"]), int(options["size"]), step,
                options.get("batch_normalize") == "1", side // step,
            )  # fmt: skip
            found.append(made)
            now = made.outputs, made.side
        elif kind == "maxpool":
            now = channels, side // step
        elif kind == "upsample":
            now = channels, side * step
        elif kind == "route":
            routed = [shapes[place] for place in places(options["layers"], len(shapes))]
            now = sum(count for count, _ in routed), routed[0][1]
        else:
            assert kind in ("shortcut", "yolo"), kind
        shapes.append(now)
    return found


def places(text: str, now: int) -> list[int]:
    """Numbers of layers, which are counted from the first one or back from this one."""
    numbers = [int(number) for number in text.split(",")]
    return [number if number >= 0 else now + number for number in numbers]


class _Numbers:
    """What is left of a file's numbers."""

    def __init__(self, values: Floats) -> None:
        self.values = torch.from_numpy(values)

    def take(self, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        assert len(self.values) >= count
        taken, self.values = self.values[:count], self.values[count:]
        return taken.view(shape)


def run(path: Path, values: Floats, images: Tensor, width: float = 1.0) -> tuple[Tensor, ...]:
    """The maps that a configuration gives with the numbers of a file, by functions alone.

    width: multiplier of the filters of every layer with BatchNorm.
    """
    numbers, outputs, maps = _Numbers(values), list[Tensor](), list[Tensor]()
    features = images
    for kind, options in sections(path)[1:]:
        if kind == "convolutional":
            features = _convolution(options, numbers, features, width)
        elif kind == "maxpool":
            size, step = int(options["size"]), int(options["stride"])
            lowest = torch.finfo(torch.float32).min
            padded = F.pad(features, (0, size - 1, 0, size - 1), value=lowest)
            features = F.max_pool2d(padded, size, step)
        elif kind == "upsample":
            step = int(options["stride"])
            features = features.repeat_interleave(step, 2).repeat_interleave(step, 3)
        elif kind == "route":
            features = torch.cat([outputs[i] for i in places(options["layers"], len(outputs))], 1)
        elif kind == "shortcut":
            features = features + outputs[places(options["from"], len(outputs))[0]]
        else:
            maps.append(features)
        outputs.append(features)
    assert not len(numbers.values)
    return tuple(maps)


def _convolution(
    options: dict[str, str], numbers: _Numbers, features: Tensor, width: float
) -> Tensor:
    norm, size = "batch_normalize" in options, int(options["size"])
    outputs = int(options["filters"])
    if norm:
        outputs = max(1, round(outputs * width))
    shift = numbers.take(outputs, 1, 1)
    if norm:
        scale, mean, variance = (numbers.take(outputs, 1, 1) for _ in range(3))
    weight = numbers.take(outputs, features.shape[1], size, size)
    padding = size // 2 if options["pad"] == "1" else 0
    features = F.conv2d(features, weight, None, int(options["stride"]), padding)
    if norm:
        features = (features - mean) / torch.sqrt(variance + 1e-5) * scale
    features = features + shift
    if options["activation"] == "leaky":
        return torch.where(features > 0, features, 0.1 * features)
    return features


def anchors(path: Path) -> Iterator[list[tuple[int, int]]]:
    """Width and height of the anchors of each map."""
    for kind, options in sections(path):
        if kind == "yolo":
            numbers = [int(number) for number in options["anchors"].split(",")]
            pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
            yield [pairs[int(number)] for number in options["mask"].split(",")]
