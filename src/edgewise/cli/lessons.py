"""What `edgewise train` teaches a network, by what it learns: options, schedule and goal."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

from edgewise import units
from edgewise.data.dataset import Dataset
from edgewise.training.detecting import DETECTOR_SCHEDULE, detector_goal, detector_options
from edgewise.training.objective import Objective, Reconstructed
from edgewise.training.schedule import Schedule


class Lesson(ABC):
    """One thing to learn.

    score: what the figure of merit is called in records; half: whether it trains in bfloat16;
    usual: the schedule where nothing else is said; resizes: takes images of any size, else those of
    the network's own.
    """

    score: ClassVar[str]
    half: ClassVar[bool] = True
    usual: ClassVar[Schedule]
    resizes: ClassVar[bool] = False

    @abstractmethod
    def options(self, maps: int, data: Dataset) -> dict[str, Any]:
        """What data decide of the network; maps: that a detector gives."""

    @abstractmethod
    def objective(self, data: Dataset, options: Mapping[str, Any]) -> Objective | None:
        """The goal of training; None is to say labels."""

    @abstractmethod
    def words(self, value: float) -> str:
        """The score as people read it."""


@final
class Labels(Lesson):
    """Say each image's label."""

    score = "accuracy"
    usual = Schedule()

    def options(self, maps: int, data: Dataset) -> dict[str, Any]:
        return {"classes": len(data.classes)}

    def objective(self, data: Dataset, options: Mapping[str, Any]) -> Objective | None:
        return None

    def words(self, value: float) -> str:
        return units.percent(value)


@final
class Images(Lesson):
    """Give images back, which are neither moved nor mirrored."""

    score = "psnr_db"
    half = False
    usual = Schedule(peak_lr=0.003, optimizer="adam", shift=0, flip=False, weight_decay=0.0)

    def options(self, maps: int, data: Dataset) -> dict[str, Any]:
        return {}

    def objective(self, data: Dataset, options: Mapping[str, Any]) -> Objective | None:
        return Reconstructed(data.contract)

    def words(self, value: float) -> str:
        return f"{value:.2f} dB signal to noise"


@final
class ObjectsInImages(Lesson):
    """Find objects; anchors are those of the training set."""

    score = "map50"
    usual = DETECTOR_SCHEDULE
    resizes = True

    def options(self, maps: int, data: Dataset) -> dict[str, Any]:
        return detector_options(data, maps)

    def objective(self, data: Dataset, options: Mapping[str, Any]) -> Objective | None:
        return detector_goal(data, options)

    def words(self, value: float) -> str:
        return f"mAP@0.5 {units.percent(value)}"


LESSONS: Mapping[str, Lesson] = {
    "labels": Labels(),
    "images": Images(),
    "objects": ObjectsInImages(),
}
