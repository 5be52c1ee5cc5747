"""What steps that train need."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgewise.data.dataset import Split
from edgewise.graph.network import Network
from edgewise.training.loop import Run, digest
from edgewise.training.objective import Objective
from edgewise.training.schedule import Schedule


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

    def run(self, network: Network, schedule: Schedule, name: str) -> Run:
        """The training of a network that may be changed; name: of its checkpoint."""
        return Run(
            train=self.train,
            validation=self.validation,
            contract=network.contract,
            schedule=schedule,
            seed=self.seed,
            checkpoint=None if self.folder is None else self.folder / f"{name}.checkpoint",
            teacher=self.teacher,
            start=digest(network.module),
            objective=self.objective,
            held=network.held_weights(),
            half=self.half,
        )
