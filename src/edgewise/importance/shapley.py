"""Shapley value of every link in the squared-error game of its unit, in closed form.

phi = w E[(x - r)(y - y_r)] with y the unit's sum and y_r its sum at the reference r: one product
of inputs and outputs per layer, for linear layers and convolutions alike (see `quadratic`). It is
also w times the gradient of E (y - y_r)^2 / 2 by w.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewise.importance.criterion import Criterion, Evidence
from edgewise.importance.moments import LinkMoments


def link_values(weight: Tensor, links: LinkMoments, centred: bool) -> Tensor:
    """Shapley value of every link, of the weights' shape; they sum to each unit's energy."""
    return weight.detach().double() * links.with_sums(centred)


@dataclass(frozen=True)
class Shapley(Criterion):
    """signed: the least goes first, so links that cancel others go together; else the smallest in
    size."""

    needs_links: ClassVar[bool] = True

    signed: bool = False

    def scores(self, evidence: Evidence) -> Tensor:
        values = link_values(evidence.weight, evidence.seen_links(), self.centred)
        return values if self.signed else values.abs()


@dataclass(frozen=True)
class Semivalue(Criterion):
    """The semivalue at which every other link stays with the probability with which it will:
    Shapley's value weighs all sizes of coalition alike, this one those near the wanted one."""

    needs_links: ClassVar[bool] = True

    def scores(self, evidence: Evidence) -> Tensor:
        links, weight = evidence.seen_links(), evidence.weight.detach().double()
        share = evidence.kept / weight.numel()
        alone = weight.square() * links.second(self.centred)
        values = link_values(weight, links, self.centred)
        return (alone + 2 * (1 - share) * (values - alone)).abs()
