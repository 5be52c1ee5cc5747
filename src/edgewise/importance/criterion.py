"""What a criterion of link pruning is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewise.importance.inputs import InputMoments
from edgewise.importance.moments import LinkMoments


@dataclass(frozen=True)
class Evidence:
    """A layer and what was seen of it.

    weight: with BatchNorm folded in; links, inputs: moments, where the criterion needs them; kept:
    how many links are going to stay, for criteria whose answer depends on it.
    """

    weight: Tensor
    links: LinkMoments | None
    inputs: InputMoments | None
    kept: int

    def seen_links(self) -> LinkMoments:
        assert self.links is not None, "the criterion declares what it needs"
        return self.links

    def seen_inputs(self) -> InputMoments:
        assert self.inputs is not None, "the criterion declares what it needs"
        return self.inputs


@dataclass(frozen=True)
class Criterion(ABC):
    """A way to score links: those of the lowest scores go first.

    needs_links, needs_inputs: which moments have to be gathered before; centred: whether links are
    removed with bias compensation, so that only what varies is lost.
    """

    needs_links: ClassVar[bool] = False
    needs_inputs: ClassVar[bool] = False

    centred: bool = True

    @abstractmethod
    def scores(self, evidence: Evidence) -> Tensor:
        """Scores of the weights' shape, float64."""
