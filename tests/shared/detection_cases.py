"""Maps, detections and objects at random, for tests of detection."""

import numpy as np
from numpy.typing import NDArray

from edgewise.data.objects import Objects
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections

ANCHORS = (((60.0, 40.0), (30.0, 50.0)), ((10.5, 12.0), (20.0, 9.0)))


def decoder(classes: int = 3, spread: float = 2.0) -> Decoder:
    """Two maps, of strides 32 and 16, for 64x96 pixels."""
    return Decoder(ANCHORS, 64, 96, classes, spread)


def random_maps(seed: int, images: int = 2, classes: int = 3) -> list[NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    shapes = [(images, 2 * (5 + classes), 64 // stride, 96 // stride) for stride in (32, 16)]
    return [draw.normal(0, 1.5, shape).astype(np.float32) for shape in shapes]


def judged(
    seed: int, images: int, classes: int, ties: bool = True
) -> tuple[list[Detections], list[Objects]]:
    """Objects, some difficult, and detections near and far from them; the last class has none."""
    draw = np.random.default_rng(seed)
    detections, objects = [], []
    for _ in range(images):
        count = int(draw.integers(0, 6)) if draw.random() < 0.8 else 0
        boxes = _boxes(draw, count)
        labels = draw.integers(0, max(classes - 1, 1), count)
        objects.append(Objects(labels, boxes, draw.random(count) < 0.25))
        copies = draw.integers(0, 3, count)
        near = np.repeat(boxes, copies, axis=0)
        near += draw.integers(-6, 7, near.shape).astype(np.float32) / 2
        far = _boxes(draw, int(draw.integers(0, 5)))
        found = np.concatenate((near, far))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
        given = np.repeat(labels, copies)
        other = draw.integers(0, classes, len(found))
        same = np.arange(len(found)) < len(given)
        named = np.where(same & (draw.random(len(found)) < 0.9), np.resize(given, len(found))
                         if len(given) else other, other)  # fmt: skip
        scores = draw.integers(1, 9, len(found)) / 8 if ties else draw.random(len(found))
        order = np.argsort(-scores, kind="stable")
        detections.append(Detections(named[order], scores[order].astype(np.float32), found[order]))
    return detections, objects


def _boxes(draw: np.random.Generator, count: int) -> NDArray[np.float32]:
    corners = draw.integers(0, 40, (count, 2))
    sizes = draw.integers(4, 24, (count, 2))
    return np.concatenate((corners, corners + sizes), axis=1).astype(np.float32)
