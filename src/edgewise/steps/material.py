"""What steps that train need."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgewise.data.dataset import Split
from edgewise.training.objective import Objective


@dataclass(frozen=True)
class Material:
    """Disjoint splits, a seed, where checkpoints go (None: nowhere), the network to learn from
    (None: the one that is trained, as it was), and what for (None: to say labels).

    half: compute in bfloat16.
    """

    train: Split
    validation: Split
    calibration: Split
    seed: int = 0
    folder: Path | None = None
    teacher: nn.Module | None = None
    objective: Objective | None = None
    half: bool = True
