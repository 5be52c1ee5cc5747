"""Criteria of link pruning by name."""

from collections.abc import Mapping

from edgewise.errors import UsageError
from edgewise.importance.criterion import Criterion
from edgewise.importance.greedy import Greedy
from edgewise.importance.magnitude import Magnitude
from edgewise.importance.pursuit import Pursuit
from edgewise.importance.refit_game import RefitShapley
from edgewise.importance.shapley import Semivalue, Shapley
from edgewise.importance.surgeon import BrainSurgeon
from edgewise.importance.wanda import Wanda

CRITERIA: Mapping[str, Criterion] = {
    "magnitude": Magnitude(),
    "wanda": Wanda(),
    "wanda-uncentred": Wanda(centred=False),
    "shapley": Shapley(),
    "shapley-signed": Shapley(signed=True),
    "shapley-uncentred": Shapley(centred=False),
    "semivalue": Semivalue(),
    "obs": BrainSurgeon(),
    "refit-shapley": RefitShapley(),
    "greedy": Greedy(),
    "pursuit": Pursuit(),
}


def criterion(name: str) -> Criterion:
    """The criterion of that name; raises UsageError when there is none."""
    if name not in CRITERIA:
        raise UsageError(f"there is no criterion '{name}'; choose one of {', '.join(CRITERIA)}.")
    return CRITERIA[name]
