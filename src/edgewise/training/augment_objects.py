"""Augmentation of images with boxes: mirror, shift, permute colours, change gain and offset."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.data.objects import Objects
from edgewise.errors import DataError, UsageError

PADDING = -1.0  # the class of a row that is no object

_CLASS, _X, _Y, _WIDTH, _HEIGHT = range(5)


@dataclass(frozen=True)
class ObjectAugmentation:
    """How far a training image may differ from the stored one.

    shift: most pixels in each direction, as a share of the side; gain: about one, offset: about
    zero, both uniform, as shares of the range; low, high: the range of the network's input, which
    values are clipped to; mirror, permute: whether at all; unmirrored: classes that a mirror
    changes, as it does digits; least: share of a box that must be left for it to stay an object.
    """

    shift: float = 0.1
    gain: float = 0.3
    offset: float = 0.1
    low: float = 0.0
    high: float = 1.0
    mirror: bool = True
    permute: bool = True
    unmirrored: tuple[int, ...] = ()
    least: float = 0.3

    def __post_init__(self) -> None:
        if not (0 <= self.shift < 1 and 0 <= self.gain < 1 and self.offset >= 0):
            raise UsageError("augmentation needs a shift and a gain in [0, 1), and an offset >= 0.")
        if not (self.low < self.high and 0 <= self.least <= 1):
            raise UsageError("augmentation needs low below high, and a least share in [0, 1].")


def targets_of(objects: Sequence[Objects], most: int | None = None) -> Tensor:
    """Targets float32 (n, most, 6): class, centre x and y, width, height, difficult.

    most: rows of an image, by default those of the fullest; rows without object have class -1.
    Raises DataError for an image with more objects.
    """
    fullest = max((len(one) for one in objects), default=0)
    rows = max(1, fullest) if most is None else most
    if fullest > rows:
        raise DataError(f"an image has {fullest} objects, more than the {rows} rows for them.")
    targets = torch.zeros(len(objects), rows, 6)
    targets[..., _CLASS] = PADDING
    for row, one in zip(targets, objects, strict=True):
        low, high = torch.from_numpy(one.boxes[:, :2]), torch.from_numpy(one.boxes[:, 2:])
        row[: len(one), _CLASS] = torch.from_numpy(one.classes).float()
        row[: len(one), _X:_WIDTH] = (low + high) / 2
        row[: len(one), _WIDTH:5] = high - low
        row[: len(one), 5] = torch.from_numpy(one.difficult).float()
    return targets


def augment_objects(
    images: Tensor, targets: Tensor, how: ObjectAugmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images (n, c, h, w) and targets (n, most, 6), each image changed by draws of its own.

    What a shift uncovers repeats the edge. Boxes are clipped to the image; where too little of one
    is left, its row becomes padding. The generator is the processor's, wherever the images are.
    """
    count, channels, height, width = images.shape
    drawn = torch.rand(count, 5 + channels, generator=generator).to(images.device)
    mirrored = (drawn[:, 0] < 0.5) & _may_be_mirrored(targets, how)
    reach = torch.tensor([int(how.shift * width), int(how.shift * height)], device=images.device)
    moved = ((drawn[:, 1:3] * (2 * reach + 1)).long() - reach).clamp(-reach, reach)
    order = drawn[:, 5:].argsort(1) if how.permute else None
    images = _gathered(images, mirrored, moved, order)
    span = how.high - how.low
    gain = 1 + how.gain * (drawn[:, 3] * 2 - 1)
    offset = how.low - how.low * gain + how.offset * span * (drawn[:, 4] * 2 - 1)
    images = images.mul_(gain.view(-1, 1, 1, 1)).add_(offset.view(-1, 1, 1, 1))
    images = images.clamp_(how.low, how.high).contiguous(memory_format=torch.channels_last)
    return images, _moved(targets, mirrored, moved, (how.least, width, height))


def _may_be_mirrored(targets: Tensor, how: ObjectAugmentation) -> Tensor:
    """Which images show nothing that a mirror changes."""
    if not how.mirror:
        return torch.zeros(len(targets), dtype=torch.bool, device=targets.device)
    kept = torch.tensor(how.unmirrored, dtype=targets.dtype, device=targets.device)
    return ~torch.isin(targets[..., _CLASS], kept).any(1)


def _gathered(images: Tensor, mirrored: Tensor, moved: Tensor, order: Tensor | None) -> Tensor:
    """Mirrored first, then moved right and down by so many pixels, colours in the given order."""
    count, channels, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - moved[:, 1:]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - moved[:, :1]).clamp(0, width - 1)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    if order is None:
        order = torch.arange(channels, device=images.device).expand(count, channels)
    # Whole rows are copied first, in the order of their colours: several times faster than one
    # gather of single values.
    first = torch.arange(count, device=images.device)[:, None] * channels
    planes = ((first + order)[:, :, None] * height + rows[:, None, :]).reshape(-1)
    chosen = images.reshape(-1, width).index_select(0, planes).view(images.shape)
    return chosen.gather(3, columns[:, None, None, :].expand(images.shape))


def _moved(
    targets: Tensor, mirrored: Tensor, moved: Tensor, limits: tuple[float, int, int]
) -> Tensor:
    least, width, height = limits
    size = torch.tensor([width, height], dtype=targets.dtype, device=targets.device)
    centre, extent = targets[..., _X:_WIDTH].clone(), targets[..., _WIDTH:5]
    centre[..., 0] = torch.where(mirrored[:, None], width - centre[..., 0], centre[..., 0])
    centre = centre + moved[:, None]
    low = (centre - extent / 2).clamp(min=0).minimum(size)
    high = (centre + extent / 2).clamp(min=0).minimum(size)
    left = (high - low).prod(-1)
    stays = (targets[..., _CLASS] >= 0) & (left > 0) & (left >= least * extent.prod(-1))
    result = torch.cat([targets[..., :1], (low + high) / 2, high - low, targets[..., 5:]], -1)
    gone = torch.zeros(6, dtype=targets.dtype, device=targets.device)
    gone[_CLASS] = PADDING
    return torch.where(stays[..., None], result, gone)
