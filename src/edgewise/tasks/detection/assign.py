"""Which cells and anchors are to find which object."""

from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.errors import DataError
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.overlap import shape_overlap

COLUMNS = 6  # of targets: class, centre x, centre y, width, height, difficult


@dataclass(frozen=True)
class Assignment:
    """Who is responsible for an object: its best anchor over all maps, and more where wanted.

    alike: so is every anchor whose shape overlaps the object's by more than this; neighbours: the
    two cells nearest to the centre as well as its own (Jocher 2020). Raises DataError where the
    overlap is none.
    """

    alike: float = 0.35
    neighbours: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.alike <= 1:
            raise DataError(f"an overlap of shapes lies in 0 to 1, not at {self.alike}.")


DARKNET = Assignment(alike=1.0, neighbours=False)  # the best anchor in the centre's cell alone


@dataclass(frozen=True, eq=False)
class Positives:
    """Places of one map that are to find an object, each once: all (k,), but targets (k, 6)."""

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    targets: Tensor

    @property
    def place(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Index of a tensor (images, anchors, rows, columns)."""
        return self.image, self.anchor, self.row, self.column


def assign(
    decoder: Decoder, rule: Assignment, grids: list[tuple[int, int]], targets: Tensor
) -> list[Positives]:
    """The positives of every map from targets (images, most, 6); difficult objects have none.

    grids: rows and columns of each map. Where a place suits several objects it gets one: that whose
    centre is in the cell before a neighbour's, then that of the more similar shape.
    """
    wanted = (targets[..., 0] >= 0) & (targets[..., 5] == 0)
    image, rows = torch.nonzero(wanted)[:, 0], targets[wanted].float()
    sizes = [torch.tensor(one, device=targets.device) for one in decoder.anchors]
    alike = shape_overlap(rows[:, 3:5], torch.cat(sizes))
    chosen = alike > rule.alike
    chosen.scatter_(1, alike.argmax(dim=1, keepdim=True), True)
    ends = [sum(map(len, decoder.anchors[: place + 1])) for place in range(len(grids))]
    found = []
    for grid, start, end in zip(grids, [0, *ends[:-1]], ends, strict=True):
        target, anchor = torch.nonzero(chosen[:, start:end], as_tuple=True)
        likeness = alike[:, start:end]
        cells = _cells(rows[target, 1:3] / (decoder.height // grid[0]), grid, rule.neighbours)
        priority = likeness[target, anchor] + _first(cells)
        chain = torch.stack((image[target], anchor, target)).expand(len(cells), -1, -1)
        found.append(_unique(cells, chain, priority, rows, grid))
    return found


def _cells(centres: Tensor, grid: tuple[int, int], neighbours: bool) -> Tensor:
    """Columns and rows (1 or 3, k, 2) of the cells for centres (k, 2) in cells; own cell first."""
    ends = torch.tensor((grid[1] - 1, grid[0] - 1), device=centres.device)
    own = torch.minimum(centres.floor().long().clamp(min=0), ends)
    if not neighbours:
        return own[None]
    side = torch.where(centres - own < 0.5, -1, 1)
    across, down = side.clone(), side.clone()
    across[:, 1], down[:, 0] = 0, 0
    return torch.stack((own, own + across, own + down))


def _first(cells: Tensor) -> Tensor:
    """1 for an object's own cell and 0 for its neighbours: (cells, 1)."""
    return (torch.arange(len(cells), device=cells.device) == 0).float()[:, None]


def _unique(
    cells: Tensor, chain: Tensor, priority: Tensor, rows: Tensor, grid: tuple[int, int]
) -> Positives:
    """What is inside the grid, of each place the one of highest priority, then the first.

    cells: (c, k, 2); chain: (c, 3, k) of image, anchor and target; priority: (c, k).
    """
    column, row = cells[..., 0], cells[..., 1]
    inside = (column >= 0) & (column < grid[1]) & (row >= 0) & (row < grid[0])
    image, anchor, target = (chain[:, place][inside] for place in range(3))
    column, row = column[inside], row[inside]
    most = int(anchor.max()) + 1 if len(anchor) else 1
    slot = ((image * most + anchor) * grid[0] + row) * grid[1] + column
    order = torch.argsort(priority[inside], descending=True, stable=True)
    order = order[torch.argsort(slot[order], stable=True)]
    new = torch.ones_like(order, dtype=torch.bool)
    new[1:] = slot[order[1:]] != slot[order[:-1]]
    kept = order[new]
    return Positives(image[kept], anchor[kept], row[kept], column[kept], rows[target[kept]])
