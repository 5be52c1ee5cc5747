"""Where the channels of a tensor lie, and where they lie after a reshape."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.graph.channels.atoms import Labels

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """The axis along which a tensor has channels, and the label of each: (size of that axis,)."""

    axis: int
    labels: Labels


def reshaped(layout: Layout, before: Shape, after: Shape) -> Layout | None:
    """The layout after a reshape that keeps the batch axis; None where channels lie along no one
    axis any more, as when a shuffle takes them apart.
    """
    for start, stop, first, last in _blocks(before, after):
        if start <= layout.axis < stop:
            sizes = [int(size or 0) for size in before[start:stop]]
            shape = [1] * len(sizes)
            shape[layout.axis - start] = -1
            values = np.broadcast_to(layout.labels.reshape(shape), sizes)
            return _along_one_axis(values.reshape([int(s or 0) for s in after[first:last]]), first)
    return None


def _along_one_axis(values: Labels, offset: int) -> Layout | None:
    """The axis along which alone labels differ."""
    for axis in sorted(range(values.ndim), key=lambda one: -values.shape[one]):
        others = tuple(other for other in range(values.ndim) if other != axis)
        line = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])[0]
        shape = [1] * values.ndim
        shape[axis] = -1
        if not others or bool((values == line.reshape(shape)).all()):
            return Layout(offset + axis, np.ascontiguousarray(line))
    return None


def _blocks(before: Shape, after: Shape) -> Iterator[tuple[int, int, int, int]]:
    """Axes [start, stop) before that hold the same values as [first, last) after, as short as they
    can be; nothing where the batch is mixed with other axes.
    """
    same = before[:1] == after[:1] and None not in (*before[1:], *after[1:])
    if not same or _product(before[1:]) != _product(after[1:]):
        return
    start = first = 1
    while start < len(before):
        stop, last = start + 1, first
        while (sizes := (_product(before[start:stop]), _product(after[first:last])))[0] != sizes[1]:
            if sizes[0] < sizes[1] and stop < len(before):
                stop += 1
            elif last < len(after):
                last += 1
            else:
                return
        if last == first and first < len(after):  # an axis of one has to lie somewhere
            last += 1 if after[first] == 1 else 0
        yield start, stop, first, last
        start, first = stop, last


def _product(sizes: Sequence[int | None]) -> int:
    return math.prod(int(size or 0) for size in sizes)
