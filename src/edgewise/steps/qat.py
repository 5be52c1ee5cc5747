"""Quantization-aware training."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import fx, nn

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.quant.assign import Assignment
from edgewise.quant.insert import Insertion
from edgewise.quant.learned import Learning
from edgewise.quant.learning import Plan, freeze, latent, owned, prepare
from edgewise.quant.observers import METHODS
from edgewise.quant.placement import place
from edgewise.quant.profiles import profile
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.step import Step
from edgewise.training.loop import Run, digest, train
from edgewise.training.schedule import Curves, Schedule
from edgewise.training.statistics import reestimate

GENTLE = Schedule(epochs=3, peak_lr=0.01, warmup=0.1, weight_decay=1e-4, distill=1.0)


@dataclass(frozen=True)
class Material:
    """What training needs: disjoint splits, a seed, where checkpoints go (None: nowhere), and the
    network to learn from (None: the one that is trained, as it was).
    """

    train: Split
    validation: Split
    calibration: Split
    seed: int = 0
    folder: Path | None = None
    teacher: nn.Module | None = None


@dataclass(frozen=True)
class Trained:
    """What training gave.

    network: quantized, ready to be written; None for a placement that cannot be; learned: the
    network as it was trained, in eval mode; latent: the float network whose weights it rounds.
    """

    learned: Network
    latent: Network
    curves: Curves

    @property
    def network(self) -> Network:
        return freeze(self.learned)


@dataclass(frozen=True)
class Qat(Step):
    """Train on with quantizers in place, distilling from the float network.

    scheme: bits; method: lsq, pact or ste; schedule: of the training; before: stages of more bits
    to go through first, `w8a8:2` for two epochs of W8A8; ends: scheme of the first and last layer;
    mixed: schemes of named layers (`GLOB=w4a8`); keep_float: globs of layers that stay float;
    ranges: how first ranges are chosen; placement: where quantizers stand (see Plan).
    """

    name: ClassVar[str] = "qat"
    needs_data: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True
    trains: ClassVar[bool] = True

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
        if self.ranges not in METHODS:
            raise RecipeError(
                f"there is no range method '{self.ranges}'; choose one of {', '.join(METHODS)}."
            )
        Assignment.of(self.scheme, self.ends, self.mixed)
        Learning(self.method)
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
        runtime = profile(self.profile)
        placement = place(calibrated, runtime, self.keep_float)
        if not placement.layers:
            raise RecipeError(
                f"no layer is left to quantize: keep_float {list(self.keep_float)} covers all."
            )
        assignment = Assignment.of(self.scheme, self.ends, self.mixed)
        insertion = Insertion(placement, runtime, assignment, METHODS[self.ranges])
        learned = prepare(calibrated, Plan(insertion, Learning(self.method), self.placement))
        folder = material.folder
        run = Run(
            train=material.train,
            validation=material.validation,
            contract=network.contract,
            schedule=self.schedule,
            seed=material.seed,
            checkpoint=None if folder is None else folder / f"{name}.checkpoint",
            teacher=material.teacher,
            start=digest(learned.module),
        )
        module, curves = train(learned.module, run, progress)
        assert isinstance(module, fx.GraphModule)
        reestimate(module, run)
        learned = replace(learned, module=module, ranges={})
        return Trained(learned, latent(learned, network), curves)

    def to_json(self) -> dict[str, Any]:
        return {
            **super().to_json(),
            "scheme": asdict(self.scheme),
            "schedule": asdict(self.schedule),
        }


def _stage(text: str) -> tuple[Scheme, int]:
    name, colon, epochs = text.partition(":")
    if not colon or not epochs.isdigit() or int(epochs) < 1:
        raise RecipeError(f"'{text}' is no stage; say w8a8:2 for two epochs of W8A8.")
    return Scheme.parse(name), int(epochs)
