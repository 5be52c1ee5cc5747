"""What detectors find in the same images, scored and compared pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from edgewise.data.dataset import Split
from edgewise.data.objects import Objects
from edgewise.errors import ModelError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.tasks.classification import Estimate
from edgewise.tasks.detection.bootstrap import mean_precision, paired_difference
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.matching import Matches, match
from edgewise.tasks.detection.precision import precision
from edgewise.tasks.detection.protocol import Protocol, coco, voc
from edgewise.tasks.detection.suppression import Suppression, detect

Found = Sequence[Detections]

# Mean average precision by VOC's area under the curve at two overlaps, and COCO's over ten.
METRICS: Mapping[str, Protocol] = {"ap50": voc(0.5), "ap75": voc(0.75), "coco": coco()}
_BATCH = 25


@dataclass(frozen=True, eq=False)
class Judged:
    """Detections matched with the objects of the same images, by every metric."""

    matches: Mapping[str, Matches]

    @staticmethod
    def of(found: Found, objects: Sequence[Objects], classes: int) -> "Judged":
        """Raises DataError where there are not as many images, or a class is unknown."""
        kinds = METRICS.items()
        return Judged({name: match(found, objects, classes, kind) for name, kind in kinds})

    def values(self) -> dict[str, float]:
        """Every metric; raises DataError without any object."""
        return {name: precision(matches).mean for name, matches in self.matches.items()}

    def estimates(self) -> dict[str, Estimate]:
        """Every metric with its interval, by bootstrap over images."""
        return {name: mean_precision(matches) for name, matches in self.matches.items()}

    def less(self, other: "Judged") -> dict[str, Estimate]:
        """Every metric less that of another detector on the same images, paired."""
        return {
            name: paired_difference(matches, other.matches[name])
            for name, matches in self.matches.items()
        }

    def by_class(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Of each class its average precision and recall at 0.5; None without objects of it."""
        found = precision(self.matches["ap50"])
        return [
            {"name": name, "ap50": _known(average), "recall": _known(recall)}
            for name, average, recall in zip(names, found.average[0], found.recall[0], strict=True)
        ]


def to_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as records store them."""
    return {name: asdict(one) for name, one in estimates.items()}


@torch.no_grad()
def find(
    network: Network, split: Split, reading: tuple[Decoder, Suppression], progress: Progress,
    stage: str,
) -> tuple[Detections, ...]:  # fmt: skip
    """What a network finds in every image; raises ModelError where its outputs are no maps."""
    found: list[Detections] = []
    for batch in split.batches(_BATCH, network.contract):
        outputs = [output.numpy() for output in network.all_outputs(torch.from_numpy(batch))]
        if not all(np.isfinite(output).all() for output in outputs):
            raise ModelError(
                f"the network's outputs for an image from {len(found)} on in {split.name} are not "
                "finite; it overflows on these data."
            )
        found.extend(detect(outputs, *reading))
        progress(stage, len(found), len(split))
    return tuple(found)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
