"""What a step is."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from edgewise.data.dataset import Split
from edgewise.graph.network import Network
from edgewise.progress import Progress


@dataclass(frozen=True)
class Step(ABC):
    """Settings of one change to a network.

    name: in recipes; needs_data: looks at calibration images; quantizes: leaves integer layers,
    after which float weights can no longer be changed; refines: changes integer layers by the float
    network they were made of; stores: leaves weights as the file will hold them, so that nothing
    can follow; prunes: leaves another function than it found.
    """

    name: ClassVar[str]
    needs_data: ClassVar[bool] = False
    quantizes: ClassVar[bool] = False
    refines: ClassVar[bool] = False
    stores: ClassVar[bool] = False
    prunes: ClassVar[bool] = False

    @abstractmethod
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        """The changed network; the one given may be changed too, its parameters never are."""

    def to_json(self) -> dict[str, Any]:
        return {"step": self.name, **asdict(self)}
