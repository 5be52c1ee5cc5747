"""darknet's own weights on darknet's own photographs, where `edgewise data fetch darknet` ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import darknet_cfg
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.acquire import is_here
from edgewise.data.darknet import class_names
from edgewise.data.fetch import wanted
from edgewise.data.registry import data_root
from edgewise.models.darknet import read_header, write_darknet
from edgewise.models.load import load_model

SIDE = 416
COARSE = ((81, 82), (135, 169), (344, 319))
FINE = ((23, 27), (37, 58), (81, 82))  # by these the weights were trained, whatever the .cfg says

Box = tuple[float, float, float, float]


@dataclass(frozen=True, order=True)
class Found:
    score: float
    name: str
    stride: int
    box: Box


@pytest.fixture(scope="module")
def folder() -> Path:
    if not is_here(wanted("darknet"), data_root()):
        pytest.skip("needs `edgewise data fetch darknet`")
    return data_root() / "darknet"


@pytest.fixture(scope="module")
def module(folder: Path) -> nn.Module:
    return load_model("yolov3-tiny", folder / "yolov3-tiny.weights").module.eval()


def letterboxed(path: Path) -> Tensor:
    """An image in the middle of a grey square, from 0 to 1, resized as darknet does."""
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 255
    scale = SIDE / max(pixels.shape[2:])
    height, width = (int(side * scale) for side in pixels.shape[2:])
    small = F.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=True)
    canvas = torch.full((1, 3, SIDE, SIDE), 0.5)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    canvas[:, :, top : top + height, left : left + width] = small
    return canvas


def detections(module: nn.Module, path: Path, fine: Sequence[tuple[int, int]]) -> list[Found]:
    """What scores more than a half, best first."""
    names = class_names(path.parent / "coco.names")
    with torch.no_grad():
        maps = module(letterboxed(path))
    found: list[Found] = []
    for each, anchors in zip(maps, (COARSE, fine), strict=True):
        stride = SIDE // each.shape[-1]
        for values, (width, height) in zip(each[0].chunk(3), anchors, strict=True):
            scores = torch.sigmoid(values[4]) * torch.sigmoid(values[5:])
            for kind, row, column in (scores > 0.5).nonzero().tolist():
                x, y, w, h = values[:4, row, column]
                x, y = (column + torch.sigmoid(x)) * stride, (row + torch.sigmoid(y)) * stride
                w, h = width * torch.exp(w) / 2, height * torch.exp(h) / 2
                box = (float(x - w), float(y - h), float(x + w), float(y + h))
                found.append(Found(float(scores[kind, row, column]), names[kind], stride, box))
    return sorted(found, reverse=True)


def suppressed(found: list[Found]) -> list[Found]:
    """Of boxes of a class that overlap by more than 0.45, the best."""
    kept: list[Found] = []
    for one in found:
        if all(one.name != other.name or overlap(one.box, other.box) < 0.45 for other in kept):
            kept.append(one)
    return kept


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def test_darknet_prints_the_same_of_the_dog(module: nn.Module, folder: Path) -> None:
    """`darknet detect cfg/yolov3-tiny.cfg yolov3-tiny.weights data/dog.jpg` prints these shares."""
    _, by_cfg = darknet_cfg.anchors(folder / "yolov3-tiny.cfg")
    found = suppressed(detections(module, folder / "dog.jpg", by_cfg))
    printed = {("car", 0.62), ("bicycle", 0.59), ("dog", 0.57), ("truck", 0.56), ("car", 0.52)}
    assert len(found) == len(printed)
    for name, share in printed:
        assert any(one.name == name and abs(one.score - share) < 0.011 for one in found)


def test_both_maps_agree_where_an_object_is(module: nn.Module, folder: Path) -> None:
    """By the anchors that the configuration gives to the finer map they do not."""
    _, by_cfg = darknet_cfg.anchors(folder / "yolov3-tiny.cfg")
    overlaps = []
    for fine in (FINE, by_cfg):
        dogs = [d for d in detections(module, folder / "person.jpg", fine) if d.name == "dog"]
        coarse, finer = (next(d for d in dogs if d.stride == stride) for stride in (32, 16))
        assert min(coarse.score, finer.score) > 0.85
        overlaps.append(overlap(coarse.box, finer.box))
    assert overlaps[0] > 0.85
    assert overlaps[1] < 0.4


@pytest.mark.parametrize(
    ("photograph", "name", "score", "box"),
    [  # boxes as an eye sees them, in the letterboxed image
        ("person.jpg", "dog", 0.9, (40, 241, 133, 298)),
        ("person.jpg", "person", 0.85, (123, 134, 181, 317)),
        ("person.jpg", "horse", 0.9, (260, 160, 397, 287)),
        ("horses.jpg", "horse", 0.55, (0, 170, 166, 295)),
        ("dog.jpg", "dog", 0.55, (70, 170, 168, 345)),
        ("eagle.jpg", "bird", 0.75, (60, 115, 325, 312)),
    ],
)
def test_what_is_in_the_photographs_is_found(
    module: nn.Module, folder: Path, photograph: str, name: str, score: float, box: Box
) -> None:
    found = [d for d in detections(module, folder / photograph, FINE) if d.name == name]
    assert found[0].score == pytest.approx(score, abs=0.06)
    assert max(overlap(one.box, box) for one in found) > 0.65


def test_darknets_configuration_gives_the_same_maps(module: nn.Module, folder: Path) -> None:
    values = np.fromfile(folder / "yolov3-tiny.weights", "<f4", offset=20)
    images = letterboxed(folder / "dog.jpg")
    with torch.no_grad():
        expected = darknet_cfg.run(folder / "yolov3-tiny.cfg", values, images)
        for one, other in zip(module(images), expected, strict=True):
            assert float((one - other).abs().max()) <= 1e-5 * float(other.abs().max())


def test_the_file_is_written_again_bit_by_bit(
    module: nn.Module, folder: Path, tmp_path: Path
) -> None:
    original = folder / "yolov3-tiny.weights"
    header = read_header(original)
    assert (header.major, header.minor, header.revision) == (0, 2, 0)
    write_darknet(tmp_path / "again.weights", module, header)
    assert (tmp_path / "again.weights").read_bytes() == original.read_bytes()
