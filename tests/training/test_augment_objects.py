"""Pixels and boxes go through the same changes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.data.objects import Objects
from edgewise.errors import DataError, UsageError
from edgewise.training.augment_objects import ObjectAugmentation, augment_objects, targets_of

HEIGHT, WIDTH = 20, 32
STILL = ObjectAugmentation(shift=0, gain=0, offset=0, mirror=False, permute=False)
MOVING = replace(STILL, shift=0.3, mirror=True, least=0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """One to five images with one white box each on black, none at the edge, and their targets."""
    images, targets = [], []
    for _ in range(draw(st.integers(1, 5))):
        left, top = draw(st.integers(1, WIDTH - 3)), draw(st.integers(1, HEIGHT - 3))
        right = draw(st.integers(left + 1, WIDTH - 1))
        bottom = draw(st.integers(top + 1, HEIGHT - 1))
        image = torch.zeros(3, HEIGHT, WIDTH)
        image[:, top:bottom, left:right] = 1
        images.append(image)
        boxes = np.array([[left, top, right, bottom]], np.float32)
        objects = Objects(np.array([3]), boxes, np.array([draw(st.booleans())]))
        targets.append(targets_of([objects], 2)[0])
    return torch.stack(images), torch.stack(targets)


@settings(deadline=None)
@given(scenes(), st.integers(0, 2**31))
def test_a_box_stays_around_what_it_was_around(scene: tuple[Tensor, Tensor], seed: int) -> None:
    images, targets = scene
    changed, moved = augment_objects(images, targets, MOVING, generator(seed))
    for image, rows, before in zip(changed, moved, targets, strict=True):
        lit = image[0] > 0.5
        assert rows[1].tolist() == before[1].tolist() == [-1, 0, 0, 0, 0, 0]
        if not lit.any():
            assert rows[0, 0] == -1
            continue
        ys, xs = torch.nonzero(lit, as_tuple=True)
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        low, high = rows[0, 1:3] - rows[0, 3:5] / 2, rows[0, 1:3] + rows[0, 3:5] / 2
        assert [*low, *high] == found
        assert lit.sum() == rows[0, 3:5].prod()
        assert rows[0, 0] == 3
        assert rows[0, 5] == before[0, 5]


@settings(deadline=None, max_examples=40)
@given(scenes(), st.integers(0, 2**31), st.floats(0, 1))
def test_what_hardly_stays_is_an_object_no_more(
    scene: tuple[Tensor, Tensor], seed: int, least: float
) -> None:
    images, targets = scene
    _, every = augment_objects(images, targets, MOVING, generator(seed))
    _, some = augment_objects(images, targets, replace(MOVING, least=least), generator(seed))
    left = every[:, 0, 3:5].prod(-1) / targets[:, 0, 3:5].prod(-1)
    stays = (left >= least) & (every[:, 0, 0] >= 0)
    sure = (left - least).abs() > 1e-6
    assert torch.equal((some[:, 0, 0] >= 0)[sure], stays[sure])
    assert torch.equal(some[:, 0][stays & sure], every[:, 0][stays & sure])


def some_images(count: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 3, HEIGHT, WIDTH, generator=generator(seed))
    boxes = np.array([[2, 3, 9, 11]], np.float32)
    mixed = [Objects(np.array([i % 20]), boxes, np.array([False])) for i in range(count)]
    return images, targets_of(mixed)


def test_nothing_asked_for_changes_nothing() -> None:
    images, targets = some_images()
    changed, moved = augment_objects(images, targets, STILL, generator(0))
    assert torch.equal(changed, images)
    assert torch.equal(moved, targets)
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_the_images_given_are_not_changed_and_a_seed_says_all() -> None:
    images, targets = some_images()
    before = images.clone(), targets.clone()
    how = ObjectAugmentation()
    first = augment_objects(images, targets, how, generator(5))
    again = augment_objects(images, targets, how, generator(5))
    other = augment_objects(images, targets, how, generator(6))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])
    strided = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment_objects(strided, targets, how, generator(5))[0], first[0])


def test_digits_are_never_mirrored_and_others_half_of_the_time() -> None:
    images, targets = some_images(2000)
    how = replace(STILL, mirror=True, unmirrored=tuple(range(10, 20)))
    changed, moved = augment_objects(images, targets, how, generator(0))
    mirrored = (changed == images.flip(3)).flatten(1).all(1)
    same = (changed == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    digits = targets[:, 0, 0] >= 10
    assert not mirrored[digits].any()
    assert 0.4 < mirrored[~digits].float().mean() < 0.6
    assert torch.equal(moved[mirrored, 0, 1], WIDTH - targets[mirrored, 0, 1])


def test_one_digit_keeps_a_picture_from_being_mirrored() -> None:
    boxes = np.array([[2, 3, 9, 11], [12, 3, 19, 11]], np.float32)
    both = Objects(np.array([1, 12]), boxes, np.zeros(2, np.bool_))
    images = torch.rand(50, 3, HEIGHT, WIDTH, generator=generator(1))
    how = replace(STILL, mirror=True, unmirrored=(12,))
    changed, _ = augment_objects(images, targets_of([both] * 50), how, generator(0))
    assert torch.equal(changed, images)


def test_colours_are_permuted_and_every_order_occurs() -> None:
    images, targets = some_images(600)
    changed, _ = augment_objects(images, targets, replace(STILL, permute=True), generator(0))
    assert torch.equal(changed.sort(1).values, images.sort(1).values)
    planes = torch.stack([(changed == images[:, [c] * 3]).flatten(2).all(2) for c in range(3)], 2)
    orders = Counter(tuple(order) for order in planes.int().argmax(2).tolist())
    assert len(orders) == 6
    assert min(orders.values()) > 60


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
def test_gain_and_offset_are_one_line_per_image(low: float, high: float) -> None:
    images, targets = some_images()
    span = high - low
    how = replace(STILL, gain=0.3, offset=0.1, low=low, high=high)
    middling = low + span * (0.3 + 0.3 * images)  # is never clipped
    changed, _ = augment_objects(middling, targets, how, generator(0))
    before, after = ((each - low) / span for each in (middling, changed))
    x, y = before.flatten(1).double(), after.flatten(1).double()
    slope = ((x - x.mean(1, True)) * (y - y.mean(1, True))).sum(1) / x.var(1) / (x.shape[1] - 1)
    shift = y.mean(1) - slope * x.mean(1)
    assert torch.allclose(y, slope[:, None] * x + shift[:, None], atol=1e-5)
    assert 0.7 <= slope.min() < 0.8 < 1.2 < slope.max() <= 1.3
    assert -0.1001 <= shift.min() < -0.05 < 0.05 < shift.max() <= 0.1001
    changed, _ = augment_objects(low + span * images, targets, how, generator(0))
    assert low <= changed.min() < changed.max() <= high


def test_an_uncovered_edge_repeats_the_border() -> None:
    images, targets = some_images()
    how = replace(STILL, shift=0.25)
    changed, moved = augment_objects(images, targets, how, generator(0))
    for before, after, row, old in zip(images, changed, moved, targets, strict=True):
        dx, dy = (row[0, 1:3] - row[0, 3:5] / 2 - old[0, 1:3] + old[0, 3:5] / 2).int().tolist()
        if row[0, 3] < 7 or row[0, 4] < 8:
            continue  # clipped: its corner does not tell how far it was moved
        padded = torch.nn.functional.pad(before[None], (8, 8, 8, 8), mode="replicate")[0]
        assert torch.equal(after, padded[:, 8 - dy : 8 - dy + HEIGHT, 8 - dx : 8 - dx + WIDTH])


def test_targets_say_what_objects_say() -> None:
    boxes = np.array([[1, 2, 4, 8], [0, 0, 3, 1]], np.float32)
    two = Objects(np.array([7, 0]), boxes, np.array([True, False]))
    none = Objects(np.zeros(0, np.int64), boxes[:0], np.zeros(0, np.bool_))
    targets = targets_of([none, two])
    assert targets.shape == (2, 2, 6)
    assert targets.dtype == torch.float32
    assert targets[0, :, 0].tolist() == [-1, -1]
    assert targets[1].tolist() == [[7, 2.5, 5, 3, 6, 1], [0, 1.5, 0.5, 3, 1, 0]]
    assert targets_of([none]).shape == (1, 1, 6)
    assert targets_of([two], 5)[0, 2:, 0].tolist() == [-1, -1, -1]
    assert targets_of([]).shape == (0, 1, 6)
    with pytest.raises(DataError, match="2 objects, more than the 1 rows"):
        targets_of([two], 1)


@pytest.mark.parametrize(
    "wrong", [{"shift": 1.0}, {"gain": 1.0}, {"offset": -0.1}, {"low": 1.0}, {"least": 2.0}]
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="augmentation needs"):
        ObjectAugmentation(**wrong)  # type: ignore[arg-type]
