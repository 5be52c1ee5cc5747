"""Replace float layers by integer ones."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from edgewise.data.dataset import Split
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.quant.insert import insert
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps import placing
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.step import Step


@dataclass(frozen=True)
class Quantize(Step):
    """Quantize weights and activations after training; the settings are those of Placing.

    Ranges come from the Calibrate before it in the recipe; where there is none, from Calibrate()
    with its defaults.
    """

    name: ClassVar[str] = "quantize"
    needs_data: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True

    scheme: Scheme = INT8
    ranges: str = "mse"
    keep_float: tuple[str, ...] = ()
    profile: str = "onnxruntime"
    ends: str = ""
    mixed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        placing.check(self)

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        if not network.ranges:
            network = Calibrate().apply(network, data, progress)
        insert(network, placing.insertion(network, self))
        return network

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "scheme": asdict(self.scheme)}
