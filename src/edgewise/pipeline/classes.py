"""Variants by the class that they give every image."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, final

from edgewise import store
from edgewise.data.npz import to_npz
from edgewise.inference import run_artifact
from edgewise.parity import Predictions, classes_of, compare, predict
from edgewise.pipeline.manifest import Made
from edgewise.pipeline.scoring import Scoring
from edgewise.pipeline.work import Work


@final
@dataclass(frozen=True)
class Classes(Scoring):
    """Accuracy where images have labels, and how often two executors give the same class."""

    kind: ClassVar[str] = "accuracy"

    def result(self, work: Work, variants: Sequence[Made]) -> Mapping[str, Any]:
        labels = work.test.labels
        floats = predict(work.network, work.test, work.progress, "score the float network")
        found = [(variant.recipe.name, _predictions(work, variant, floats)) for variant in variants]
        baseline = found[0][1]
        for name, predictions in found:
            _save(work, name, predictions)
        return {
            **work.head(),
            "labelled": labels is not None,
            "variants": [
                {
                    **compare(name, ours, baseline, labels).to_json(),
                    "outputs": f"{name}/predictions.npz",
                }
                for name, ours in found
            ],
        }


def _predictions(work: Work, variant: Made, floats: Any) -> Predictions:
    network, name = variant.compressed.network, variant.recipe.name
    simulated = predict(network, work.test, work.progress, f"score {name}, simulated")
    request = work.request
    outputs = run_artifact(
        request.device,
        variant.export.path,
        work.test,
        request.contract,
        work.progress,
        request.target.runtime,
    )
    return Predictions(floats, simulated, classes_of(outputs))


def _save(work: Work, name: str, predictions: Predictions) -> None:
    arrays = asdict(predictions)
    if work.test.labels is not None:
        arrays["labels"] = work.test.labels
    store.write_bytes(work.folder / name / "predictions.npz", to_npz(arrays))
