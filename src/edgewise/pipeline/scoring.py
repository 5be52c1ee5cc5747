"""How good variants are: what is computed of each, and the record that holds it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edgewise import store
from edgewise.pipeline.manifest import Made
from edgewise.pipeline.work import Work


class Scoring(ABC):
    """One kind of figures. kind: of its record, which the manifest names by it."""

    kind: ClassVar[str]

    @abstractmethod
    def result(self, work: Work, variants: Sequence[Made]) -> Mapping[str, Any]:
        """The record's result; raw answers that it follows from are written beside the artifacts.

        variants: the baseline first.
        """


def save_scores(scoring: Scoring, work: Work, variants: Sequence[Made]) -> dict[str, str | None]:
    """Score all variants, write the record, and say where it is in the bundle."""
    result = scoring.result(work, variants)
    digests = {one.recipe.name: one.export.digest for one in variants}
    inputs = work.inputs(test=work.test.digest, **digests)
    record = store.Record(scoring.kind, {"seed": work.request.seed}, inputs, result)
    return {"accuracy": None, scoring.kind: work.save(record, scoring.kind)}
