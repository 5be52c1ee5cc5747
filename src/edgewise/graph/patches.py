"""A layer's inputs and outputs at single positions: convolution as a product of matrices."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise.graph.layer import Form

KINDS = ("conv2d", "linear")


def sample(
    form: Form, kernel: Sequence[int], batches: Sequence[tuple[Tensor, Tensor]], limit: int,
    seed: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """At most `limit` output positions of a layer, drawn evenly: the inputs that each reads,
    (groups, positions, inputs of a group times taps), and its outputs, (groups, positions, outputs
    of a group).

    kernel: shape of the layer's weights; batches: its inputs and outputs, of one of KINDS.
    """
    draw = torch.Generator().manual_seed(seed)
    share = min(1.0, limit / sum(_positions(form, outputs) for _, outputs in batches))
    read, given = [], []
    for inputs, outputs in batches:
        count = _positions(form, outputs)
        index = torch.randperm(count, generator=draw)[: max(1, int(count * share))]
        pick = _linear if form.kind == "linear" else _convolution
        ours, theirs = pick(form, kernel, (inputs, outputs), index)
        read.append(ours)
        given.append(theirs)
    groups = int(form.geometry.get("groups", 1))
    return _by_group(torch.cat(read), groups), _by_group(torch.cat(given), groups)


def _positions(form: Form, outputs: Tensor) -> int:
    return outputs.numel() // outputs.shape[-1 if form.kind == "linear" else 1]


def _by_group(rows: Tensor, groups: int) -> Tensor:
    return rows.reshape(len(rows), groups, -1).transpose(0, 1).contiguous()


def _linear(
    form: Form, kernel: Sequence[int], both: tuple[Tensor, Tensor], index: Tensor
) -> tuple[Tensor, Tensor]:
    inputs, outputs = both
    return inputs.flatten(0, -2)[index], outputs.flatten(0, -2)[index]


def _convolution(
    form: Form, kernel: Sequence[int], both: tuple[Tensor, Tensor], index: Tensor
) -> tuple[Tensor, Tensor]:
    inputs, outputs = both
    high, wide = form.geometry["padding"]
    windows = F.pad(inputs, [wide, wide, high, high])
    for axis in (0, 1):  # windows are views: only those drawn are ever copied
        stride, dilation = (form.geometry[key][axis] for key in ("stride", "dilation"))
        windows = windows.unfold(axis + 2, dilation * (kernel[axis + 2] - 1) + 1, stride)
        windows = windows[..., ::dilation]
    image, row, column = torch.unravel_index(index, (len(outputs), *outputs.shape[2:]))
    return windows[image, :, row, column], outputs[image, :, row, column]
