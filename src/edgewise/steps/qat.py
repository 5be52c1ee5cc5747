"""Quantization-aware training."""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from torch import fx

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.quant.learned import Learning
from edgewise.quant.learning import freeze, latent, owned, prepare
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps import placing
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.material import Material
from edgewise.steps.step import Step
from edgewise.training.loop import train
from edgewise.training.schedule import Curves, Schedule
from edgewise.training.statistics import reestimate

GENTLE = Schedule(epochs=3, peak_lr=0.01, warmup=0.1, weight_decay=1e-4, distill=1.0)


@dataclass(frozen=True)
class Trained:
    """What training gave.

    learned: the network as it was trained, in eval mode; latent: the float network whose weights it
    rounds.
    """

    learned: Network
    latent: Network
    curves: Curves

    def frozen(self) -> Network:
        """Quantized, ready to be written; raises RecipeError for a placement that cannot be."""
        return freeze(self.learned)


@dataclass(frozen=True)
class Qat(Step):
    """Train on with quantizers in place, distilling from the float network.

    method, placement: see Learning; schedule: of the training; before: stages of more bits to go
    through first, `w8a8:2` for two epochs of W8A8. The other settings are those of Placing, ranges
    being the first ones.
    """

    name: ClassVar[str] = "qat"
    needs_data: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True

    scheme: Scheme = INT8
    method: str = "lsq"
    schedule: Schedule = GENTLE
    before: tuple[str, ...] = ()
    ends: str = "w8a8"
    mixed: tuple[str, ...] = ()
    keep_float: tuple[str, ...] = ()
    ranges: str = "mse"
    placement: str = "target"
    profile: str = "onnxruntime"

    def __post_init__(self) -> None:
        placing.check(self)
        Learning(self.method, self.placement)
        for stage in self.before:
            _stage(stage)

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        raise RecipeError("training needs a data set with labels, not calibration images alone.")

    def train(self, network: Network, material: Material, progress: Progress) -> Trained:
        """Train through all stages; the network given is not changed."""
        if material.teacher is None:
            material = replace(material, teacher=network.copy().module.eval())
        for index, (scheme, epochs) in enumerate(map(_stage, self.before)):
            shorter = replace(self.schedule, epochs=epochs)
            stage = replace(self, scheme=scheme, schedule=shorter)
            trained = stage._train(network, material, f"stage-{index}", progress)
            network = trained.latent
        return self._train(network, material, f"stage-{len(self.before)}", progress)

    def _train(
        self, network: Network, material: Material, name: str, progress: Progress
    ) -> Trained:
        start = owned(network)
        calibrated = Calibrate().apply(start, material.calibration, progress)
        learning = Learning(self.method, self.placement)
        learned = prepare(calibrated, placing.insertion(calibrated, self), learning)
        run = material.run(learned, self.schedule, name)
        module, curves = train(learned.module, run, progress)
        assert isinstance(module, fx.GraphModule)
        reestimate(module, run)
        learned = replace(learned, module=module, ranges={})
        return Trained(learned, latent(learned, network), curves)

    def to_json(self) -> dict[str, Any]:
        return {
            **super().to_json(),
            "scheme": asdict(self.scheme),
            "schedule": self.schedule.to_json(),
        }


def _stage(text: str) -> tuple[Scheme, int]:
    name, colon, epochs = text.partition(":")
    if not colon or not epochs.isdigit() or int(epochs) < 1:
        raise RecipeError(f"'{text}' is no stage; say w8a8:2 for two epochs of W8A8.")
    return Scheme.parse(name), int(epochs)
