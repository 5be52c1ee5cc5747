"""The loss of detection: against loops over images, objects and cells, and by learning from it."""

import math

import numpy as np
import pytest
import torch
from detection_cases import decoder, random_maps
from detection_reference import complete, share
from torch import Tensor, nn

from edgewise.data.objects import Objects
from edgewise.errors import DataError
from edgewise.tasks.detection.assign import DARKNET, Assignment, assign
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.loss import Detection
from edgewise.tasks.detection.precision import evaluate
from edgewise.tasks.detection.protocol import voc
from edgewise.tasks.detection.suppression import Suppression, detect

Place = tuple[int, int, int, int, int]  # map, image, anchor, row, column
Row = list[float]


def tensors(seed: int, images: int = 2) -> list[Tensor]:
    return [torch.from_numpy(one) for one in random_maps(seed, images)]


def targets(seed: int, images: int = 2, most: int = 5) -> Tensor:
    """Objects of 64x96 pixels, some difficult, and padding."""
    draw = np.random.default_rng(seed)
    rows = np.empty((images, most, 6), np.float32)
    rows[..., 0] = draw.integers(-1, 3, (images, most))
    rows[..., 1] = draw.uniform(0, 95.9, (images, most))
    rows[..., 2] = draw.uniform(0, 63.9, (images, most))
    rows[..., 3:5] = np.exp(draw.uniform(1.5, 4, (images, most, 2)))
    rows[..., 5] = draw.random((images, most)) < 0.2
    return torch.from_numpy(rows)


def responsible(rule: Decoder, how: Assignment, wanted: Tensor) -> dict[Place, Row]:
    """Which place finds which object, object by object."""
    found: dict[Place, tuple[float, Row]] = {}
    for image, rows in enumerate(wanted.tolist()):
        for row in rows:
            if row[0] < 0 or row[5]:
                continue
            for (place, index), alike in similar(rule, how, row).items():
                for number, (r, c) in enumerate(cells(row, (32, 16)[place], how.neighbours)):
                    key = (place, image, index, r, c)
                    worth = alike + (number == 0)
                    if key not in found or worth > found[key][0]:
                        found[key] = (worth, row)
    return {key: row for key, (_, row) in found.items()}


def similar(rule: Decoder, how: Assignment, row: Row) -> dict[tuple[int, int], float]:
    """How much the shapes of the chosen anchors, by map and place in it, overlap an object's."""
    alike = {
        (place, index): share([-w, -h, w, h], [-row[3], -row[4], row[3], row[4]])
        for place, sizes in enumerate(rule.anchors)
        for index, (w, h) in enumerate(sizes)
    }
    best = max(alike.values())
    return {key: value for key, value in alike.items() if value > how.alike or value == best}


def cells(row: Row, stride: int, neighbours: bool) -> list[tuple[int, int]]:
    """Rows and columns of 64x96 pixels, the centre's own first; those outside are no place."""
    x, y = row[1] / stride, row[2] / stride
    r, c = int(y), int(x)
    found = [(r, c)]
    if neighbours:
        found += [(r, c + (1 if x - c >= 0.5 else -1)), (r + (1 if y - r >= 0.5 else -1), c)]
    return [(r, c) for r, c in found if 0 <= r < 64 // stride and 0 <= c < 96 // stride]


def entropy(logit: float, wanted: float) -> float:
    return max(logit, 0) - logit * wanted + math.log1p(math.exp(-abs(logit)))


def corners(row: Row) -> Row:
    _, x, y, width, height, _ = row
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def slow(task: Detection, maps: list[Tensor], wanted: Tensor) -> float:
    """The loss by its definition, one place after the other, in float64."""
    rule, total = task.decoder, 0.0
    positives = responsible(rule, task.assignment, wanted)
    for place, one in enumerate(maps):
        stride = (32, 16)[place]
        grid = one.double().view(len(one), len(rule.anchors[place]), -1, *one.shape[2:]).numpy()
        for image, index, r, c in np.ndindex(*grid.shape[:2], *grid.shape[3:]):
            x, y, w, h, sure, *labels = map(float, grid[image, index, :, r, c])
            centre = [(at + rule.spread / (1 + math.exp(-t)) - (rule.spread - 1) / 2) * stride
                      for at, t in ((c, x), (r, y))]  # fmt: skip
            half = [
                a * math.exp(t) / 2 for a, t in zip(rule.anchors[place][index], (w, h), strict=True)
            ]
            box = [
                centre[0] - half[0],
                centre[1] - half[1],
                centre[0] + half[0],
                centre[1] + half[1],
            ]
            row = positives.get((place, image, index, r, c))
            if row is not None:
                total += task.box * (1 - complete(box, corners(row))) + entropy(sure, 1)
                for label, value in enumerate(labels):
                    aim = (label == int(row[0])) * (1 - task.label_smoothing)
                    total += entropy(value, aim + task.label_smoothing / 2)
            elif not any(share(box, corners(other)) > task.ignored
                         for other in wanted[image].tolist() if other[0] >= 0):  # fmt: skip
                total += entropy(sure, 0)
    return total / max(1, len(positives))


RULES = [
    Detection(decoder()),
    Detection(decoder(), Assignment(0.6), ignored=0.3, box=1.0, label_smoothing=0.1),
    Detection(decoder(spread=1.0), DARKNET, ignored=0.4),
]


@pytest.mark.parametrize("task", RULES, ids=["recipe", "strict", "darknet"])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_that_of_its_definition(task: Detection, seed: int) -> None:
    maps, wanted = tensors(seed), targets(seed)
    assert float(task.loss(maps, wanted)) == pytest.approx(slow(task, maps, wanted), rel=1e-5)


@pytest.mark.parametrize("task", RULES, ids=["recipe", "strict", "darknet"])
def test_places_are_those_that_loops_find_each_once(task: Detection) -> None:
    for seed in range(10):
        wanted = targets(seed, most=12)
        expected = responsible(task.decoder, task.assignment, wanted)
        found = {}
        grids = [(2, 3), (4, 6)]
        for place, one in enumerate(assign(task.decoder, task.assignment, grids, wanted)):
            for *key, row in zip(
                *(part.tolist() for part in (*one.place, one.targets)), strict=True
            ):
                assert (place, *key) not in found
                found[place, *key] = row
        assert found == expected


def test_padding_and_the_order_of_objects_change_nothing() -> None:
    maps, wanted = tensors(1), targets(1)
    task = Detection(decoder())
    plain = task.loss(maps, wanted)
    padding = torch.full((2, 3, 6), -1.0)
    padding[..., 1:5] = torch.rand(2, 3, 4) * 50
    for other in (torch.cat((padding, wanted), dim=1), wanted.flip(1)):
        assert float(task.loss(maps, other)) == pytest.approx(float(plain), rel=1e-6)


def test_an_image_without_objects_teaches_background_alone() -> None:
    maps = tensors(2)
    for most in (0, 3):
        found = Detection(decoder()).loss(maps, torch.full((2, most, 6), -1.0))
        sure = [one.view(2, 2, 8, *one.shape[2:])[:, :, 4] for one in maps]
        assert float(found) == pytest.approx(
            sum(float(nn.functional.softplus(one).sum()) for one in sure), rel=1e-5
        )


def test_autocast_and_half_maps_compute_in_float32() -> None:
    maps, wanted = [one.bfloat16() for one in tensors(3)], targets(3)
    task = Detection(decoder())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = task.loss(maps, wanted)
    assert found.dtype == torch.float32
    assert float(found) == float(task.loss([one.float() for one in maps], wanted))


@pytest.mark.parametrize("size", [1e4, -1e4, 0.0])
def test_extreme_logits_have_finite_gradients(size: float) -> None:
    maps = [torch.full_like(one, size, requires_grad=True) for one in tensors(4)]
    found = Detection(decoder()).loss(maps, targets(4))
    found.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(found)
    assert all(one.grad is not None and torch.isfinite(one.grad).all() for one in maps)


def test_what_does_not_fit_is_refused() -> None:
    maps, wanted = tensors(0), targets(0)
    task = Detection(decoder())
    with pytest.raises(DataError, match="cannot read 1"):
        task.loss(maps[:1], wanted)
    with pytest.raises(DataError, match="not of shape"):
        task.loss(maps, wanted[..., :5])
    with pytest.raises(DataError, match="one batch"):
        task.loss(maps, wanted[:1])
    with pytest.raises(DataError, match="neighbouring cells"):
        Detection(decoder(spread=1.0))
    with pytest.raises(DataError, match="shares"):
        Detection(decoder(), ignored=1.5)
    with pytest.raises(DataError, match="overlap of shapes"):
        Assignment(-1)


class Small(nn.Module):
    """Two maps, of strides 16 and 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (3, 16, 24, 32, 48)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in (48, 32))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = []
        for step in self.steps:
            images = step(images)
            found.append(images)
        return self.heads[0](found[3]), self.heads[1](found[2])


def coloured() -> tuple[Tensor, Tensor, list[Objects]]:
    """Eight grey images with two bright rectangles each, whose colour is their class."""
    draw = np.random.default_rng(0)
    images = torch.from_numpy(draw.uniform(0.4, 0.6, (8, 3, 64, 64)).astype(np.float32))
    wanted = torch.full((8, 3, 6), -1.0)
    objects = []
    for image in range(8):
        boxes, labels = [], draw.integers(0, 3, 2)
        for side, label in enumerate(labels.tolist()):
            width, height = draw.integers(10, 28, 2).tolist()
            left, top = (
                int(draw.integers(0, 33 - width)) + 32 * side,
                int(draw.integers(0, 64 - height)),
            )
            images[image, :, top : top + height, left : left + width] = 0
            images[image, label, top : top + height, left : left + width] = 1
            boxes.append((left, top, left + width, top + height))
            wanted[image, side] = torch.tensor(
                [label, left + width / 2, top + height / 2, width, height, 0]
            )
        objects.append(Objects(labels, np.array(boxes, np.float32), np.zeros(2, bool)))
    return images, wanted, objects


def test_a_small_network_learns_by_it() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rule = Decoder((((24.0, 24.0), (26.0, 14.0)), ((14.0, 24.0), (14.0, 14.0))), 64, 64, 3, 2.0)
    images, wanted, objects = coloured()
    network, task = Small(rule.channels(0)), Detection(rule)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(network(images), wanted).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        maps = [one.numpy() for one in network(images)]
    found = detect(maps, rule, Suppression(0.05))
    assert evaluate(found, objects, 3, voc()).mean > 0.9
