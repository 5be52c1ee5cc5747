"""Augmentation: every image differs a little each time it is seen."""

import torch
from torch import Tensor, nn

from edgewise.training.schedule import Schedule


def augment(images: Tensor, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Mirror, translate and cut out, each image by draws of its own; shape (n, c, h, w) is kept."""
    count, _, height, width = images.shape
    if schedule.flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        images = torch.where(mirrored.view(-1, 1, 1, 1).to(images.device), images.flip(3), images)
    if schedule.shift:
        pad = schedule.shift
        # Replicating the border pads with what the border is after normalisation, not with grey.
        padded = nn.functional.pad(images, (pad,) * 4, mode="replicate")
        offset = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(images.device)
        rows = (offset[0][:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        columns = (offset[1][:, None] + torch.arange(width, device=images.device))[:, None, None]
        image = torch.arange(count, device=images.device)[:, None, None, None]
        channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        images = padded[image, channel, rows, columns]
    if schedule.cutout:
        images = _cut_out(images, schedule.cutout, generator)
    return images.contiguous(memory_format=torch.channels_last)


def _cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    top = torch.randint(-side // 2, height - side // 2, (count, 1), generator=generator)
    left = torch.randint(-side // 2, width - side // 2, (count, 1), generator=generator)
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    hole = (in_rows[:, :, None] & in_columns[:, None, :])[:, None].to(images.device)
    return images.masked_fill(hole, 0.0)
