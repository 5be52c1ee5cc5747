"""A detector of a few layers and images with boxes, small enough to compress in a test."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import whole

SIDE = 64
CLASSES = ("square", "circle <b>")
ANCHORS = (((20.0, 20.0),), ((10.0, 10.0),))
SIZES = {"train": 16, "calibration": 12, "validation": 4, "test": 10}

DECODER = {
    "schema": "yolo/1",
    "anchors": [[list(size) for size in each] for each in ANCHORS],
    "classes": len(CLASSES),
    "spread": 2.0,
}


class Detector(nn.Module):
    """Two maps, of strides 16 and 8; declares nothing."""

    def __init__(self, values: int = 5 + len(CLASSES)) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(3, 6), _block(6, 8), _block(8, 10))
        self.deep = _block(10, 12)
        self.narrow = nn.Conv2d(12, 6, 1)
        self.coarse = nn.Conv2d(12, values, 1)
        self.fine = nn.Conv2d(16, values, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        fine = self.stem(images)
        deep = self.deep(fine)
        upper = nn.functional.interpolate(self.narrow(deep), scale_factor=2.0)
        return self.coarse(deep), self.fine(torch.cat([upper, fine], 1))


class Declared(Detector):
    """The same, and says how its maps become objects."""

    edgewise_regions = {"body": ("stem", "deep", "narrow"), "head": ("coarse", "fine")}  # noqa: RUF012
    edgewise_outputs = ("coarse", "fine")
    edgewise_decoder = DECODER


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs, momentum=1.0),
        nn.LeakyReLU(0.1),
    )


def detector(kind: type[Detector] = Declared, seed: int = 0) -> Detector:
    """With weights that answer to what is in an image, and are sure of some of it."""
    torch.manual_seed(seed)
    made = kind()
    made(torch.from_numpy(images_with_boxes(32, 99)[0]).permute(0, 3, 1, 2) / 255.0)
    for output in (made.coarse, made.fine):
        torch.nn.init.normal_(output.weight, 0.0, 0.5)
        assert output.bias is not None
        torch.nn.init.zeros_(output.bias)
    return made.eval()


def images_with_boxes(count: int, seed: int) -> tuple[np.ndarray, tuple[Objects, ...]]:
    """Bright shapes on noise, one to three an image, some difficult."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 90, (count, SIDE, SIDE, 3)).astype(np.uint8)
    found = []
    for image in pixels:
        number = int(draw.integers(1, 4))
        corners = draw.integers(0, 40, (number, 2))
        sizes = draw.integers(10, 24, (number, 1)).repeat(2, axis=1)
        classes = draw.integers(0, len(CLASSES), number)
        for (left, top), (side, _), label in zip(corners, sizes, classes, strict=True):
            image[top : top + side, left : left + side, label] = 230
        boxes = np.concatenate((corners, corners + sizes), axis=1).astype(np.float32)
        found.append(Objects(classes, boxes, draw.random(number) < 0.1))
    return pixels, tuple(found)


def boxed_data() -> Dataset:
    """Every split has objects."""
    splits = []
    for seed, (name, size) in enumerate(SIZES.items()):
        pixels, objects = images_with_boxes(size, seed)
        splits.append(Split(name, ArrayImages(pixels), None, f"{seed}" * 64, objects))
    return Dataset("shapes", CLASSES, whole((3, SIDE, SIDE)), tuple(splits))


def plain_data() -> Dataset:
    """The same images without objects."""
    splits = tuple(
        Split(one.name, one.images, None, one.digest) for one in boxed_data().splits
        if one.name in ("calibration", "test")
    )  # fmt: skip
    return Dataset("plain", (), whole((3, SIDE, SIDE)), splits)


def write_images(path: Path) -> Path:
    """The test images as a file that commands take, without labels."""
    np.savez(path, images=images_with_boxes(24, 9)[0])
    return path


NET = """
import sys
sys.path.insert(0, {shared!r})
from small_detectors import Declared, Detector, detector

def declared():
    return detector(Declared)

def plain():
    return detector(Detector)
"""


def write_net(path: Path) -> Path:
    """A file of factories: `declared` and `plain`."""
    path.write_text(NET.format(shared=str(Path(__file__).parent)))
    return path
