"""What steps that put quantizers into a network share: their settings, checked and applied."""

from typing import Protocol

from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.quant.assign import Assignment
from edgewise.quant.insert import Insertion
from edgewise.quant.observers import METHODS
from edgewise.quant.placement import place
from edgewise.quant.profiles import profile
from edgewise.quant.scheme import Scheme


class Placing(Protocol):
    """Settings that say which tensors are quantized, and how.

    scheme: bits; ranges: how a range is chosen from what calibration saw (min-max, percentile, mse,
    entropy); keep_float: globs on the names of layers that stay in float; ends: scheme of the first
    and the last layer (`w8a8`), where it is another; mixed: schemes of named layers
    (`GLOB=w4a8`); profile: the runtime whose placement to use.
    """

    @property
    def scheme(self) -> Scheme: ...
    @property
    def ranges(self) -> str: ...
    @property
    def keep_float(self) -> tuple[str, ...]: ...
    @property
    def ends(self) -> str: ...
    @property
    def mixed(self) -> tuple[str, ...]: ...
    @property
    def profile(self) -> str: ...


def check(step: Placing) -> None:
    """Raises RecipeError, before any work, for settings that cannot be."""
    if step.ranges not in METHODS:
        raise RecipeError(
            f"there is no range method '{step.ranges}'; choose one of {', '.join(METHODS)}."
        )
    globs: object = step.keep_float
    if isinstance(globs, str):  # each of its letters would be a glob
        raise RecipeError(f"keep_float is a tuple of globs; say ('{globs}',).")
    Assignment.of(step.scheme, step.ends, step.mixed)


def insertion(network: Network, step: Placing) -> Insertion:
    """What to put where in a calibrated network; raises RecipeError where no layer is left."""
    runtime = profile(step.profile)
    placement = place(network, runtime, step.keep_float)
    if not placement.layers:
        raise RecipeError(
            f"no layer is left to quantize: keep_float {list(step.keep_float)} covers all."
        )
    assignment = Assignment.of(step.scheme, step.ends, step.mixed)
    return Insertion(placement, runtime, assignment, METHODS[step.ranges])
