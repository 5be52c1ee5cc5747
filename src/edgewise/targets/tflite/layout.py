"""Networks are NCHW and the runtime computes in NHWC: where axes are, and how convolutions pad.

Tensors of four axes are NHWC in the model, all others are in the network's own order.
"""

from collections.abc import Sequence

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def physical(shape: Sequence[int | None]) -> tuple[int, ...]:
    """A network's shape as the model has it, of one image."""
    sizes = tuple(1 if size is None else int(size) for size in shape)
    return tuple(sizes[axis] for axis in TO_NHWC) if len(sizes) == 4 else sizes


def logical(shape: Sequence[int]) -> tuple[int, ...]:
    """A model's shape as the network has it."""
    return tuple(shape[axis] for axis in TO_NCHW) if len(shape) == 4 else tuple(shape)


def physical_axis(axis: int, rank: int) -> int:
    """Where an axis of the network's is in the model."""
    axis %= rank
    return TO_NHWC.index(axis) if rank == 4 else axis


def physical_order(order: Sequence[int]) -> tuple[int, ...]:
    """A permutation of the network's axes as one of the model's."""
    rank = len(order)
    if rank != 4:
        return tuple(order)
    return tuple(physical_axis(order[TO_NHWC[place]], rank) for place in range(rank))


def is_in_order(shape: Sequence[int]) -> bool:
    """Whether values of that shape of the model's lie as they do in the network."""
    return len(shape) != 4 or shape[3] == 1 or shape[1] * shape[2] == 1


def is_same(size: int, result: int, window: tuple[int, int], before: int) -> bool:
    """Whether `SAME`, which pads as much as the result needs and the odd one behind, is this.

    size, result: along one axis; window: how far it reaches, and its stride; before: zeros in
    front.
    """
    reach, stride = window
    needed = max((result - 1) * stride + reach - size, 0)
    return result == -(-size // stride) and needed // 2 == before


def padded(size: int, result: int, window: tuple[int, int], before: int) -> tuple[int, int]:
    """Zeros before and behind, without which windows that are placed `VALID` are not those."""
    reach, stride = window
    return before, max((result - 1) * stride + reach - size - before, 0)
