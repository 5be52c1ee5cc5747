"""Training a float network on, for instance after links were pruned."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import fx

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.quant.learning import owned
from edgewise.steps.material import Material
from edgewise.steps.step import Step
from edgewise.training.loop import train
from edgewise.training.schedule import Curves, Schedule
from edgewise.training.statistics import reestimate

GENTLE = Schedule(epochs=5, peak_lr=0.02, warmup=0.1, weight_decay=1e-4)


@dataclass(frozen=True)
class Finetune(Step):
    """Train the float network on; links that were pruned stay so."""

    name: ClassVar[str] = "finetune"
    needs_data: ClassVar[bool] = True

    schedule: Schedule = GENTLE

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        raise RecipeError("finetune trains, and got no images to train on; see Finetune.train.")

    def train(
        self, network: Network, material: Material, name: str, progress: Progress
    ) -> tuple[Network, Curves]:
        """The network as trained, and its curves; name: of the checkpoint.

        Exact resume: see the training loop.
        """
        start = owned(network)
        run = material.run(start, self.schedule, name)
        module, curves = train(start.module, run, progress)
        assert isinstance(module, fx.GraphModule)
        reestimate(module, run)
        return replace(start, module=module, ranges={}), curves

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "schedule": self.schedule.to_json()}
