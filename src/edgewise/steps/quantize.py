"""Replace float layers by integer ones."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.quant.assign import Assignment
from edgewise.quant.insert import Insertion, insert
from edgewise.quant.observers import METHODS
from edgewise.quant.placement import place
from edgewise.quant.profiles import profile
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.step import Step


@dataclass(frozen=True)
class Quantize(Step):
    """Quantize weights and activations after training.

    scheme: bits; ranges: how a range is chosen from what calibration saw (min-max, percentile, mse,
    entropy); keep_float: globs on the names of layers that stay in float; profile: the runtime
    whose placement to use; ends: scheme of the first and the last layer (`w8a8`), where it is
    another; mixed: schemes of named layers (`GLOB=w4a8`). Ranges come from the Calibrate before it
    in the recipe; where there is none, from Calibrate() with its defaults.
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
        if self.ranges not in METHODS:
            raise RecipeError(
                f"there is no range method '{self.ranges}'; choose one of {', '.join(METHODS)}."
            )
        globs: object = self.keep_float
        if isinstance(globs, str):  # each of its letters would be a glob
            raise RecipeError(f"keep_float is a tuple of globs; say ('{globs}',).")
        Assignment.of(self.scheme, self.ends, self.mixed)  # refuses before any work

    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        if not network.ranges:
            network = Calibrate().apply(network, data, progress)
        runtime = profile(self.profile)
        placement = place(network, runtime, self.keep_float)
        if not placement.layers:
            raise RecipeError(
                f"no layer is left to quantize: keep_float {list(self.keep_float)} covers all."
            )
        assignment = Assignment.of(self.scheme, self.ends, self.mixed)
        insert(network, Insertion(placement, runtime, assignment, METHODS[self.ranges]))
        return network

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "scheme": asdict(self.scheme)}
