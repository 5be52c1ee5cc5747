"""What detectors find in the same images, scored and compared pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from edgewise.data.dataset import Dataset, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError, UsageError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.tasks.classification import Estimate
from edgewise.tasks.detection.agreement import agreement
from edgewise.tasks.detection.bootstrap import mean_precision, paired_difference
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.matching import Matches, match
from edgewise.tasks.detection.precision import precision
from edgewise.tasks.detection.protocol import Protocol, coco, voc
from edgewise.tasks.detection.stored import Seen
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

    def by_class(self) -> list[dict[str, float | None]]:
        """Of each class its average precision and recall at 0.5; None without objects of it."""
        found = precision(self.matches["ap50"])
        return [
            {"ap50": _known(average), "recall": _known(recall)}
            for average, recall in zip(found.average[0], found.recall[0], strict=True)
        ]


def to_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as records store them."""
    return {name: asdict(one) for name, one in estimates.items()}


def compare(
    seen: Seen, baseline: Judged, objects: Sequence[Objects], classes: int
) -> dict[str, Any]:
    """Every figure of one variant; baseline: the artifact that it is held against.

    Metrics by each executor, the difference of the artifacts, agreement, and the artifact's
    average precision and recall class by class.
    """
    ours = Judged.of(seen.artifact, objects, classes)
    judged = {
        "network": Judged.of(seen.network, objects, classes),
        "simulation": Judged.of(seen.simulation, objects, classes),
        "artifact": ours,
    }
    return {
        **{name: to_json(one.estimates()) for name, one in judged.items()},
        "difference": to_json(ours.less(baseline)),
        **agreements(seen),
        "classes": ours.by_class(),
    }


def agreements(seen: Seen) -> dict[str, Any]:
    """How much of what the network and the simulation are sure of the artifact finds too."""
    return {
        "agreement_with_simulation": asdict(agreement(seen.simulation, seen.artifact)),
        "agreement_with_float": asdict(agreement(seen.network, seen.artifact)),
    }


def to_be_found(
    data: Dataset, split: Split, contract: Preprocessing, decoder: Decoder
) -> tuple[Objects, ...] | None:
    """The objects of a split of `data`; None where there are none to judge a detector by.

    Raises UsageError where boxes are not in pixels of the network's input, or classes are not those
    that the detector knows.
    """
    objects = split.objects
    if objects is None or all(one.difficult.all() for one in objects):
        return None
    stored = split.images.read(0, 1).shape
    size = stored[2:] if contract.stored == "float32" else stored[1:3]
    if size != (contract.height, contract.width):
        raise UsageError(
            f"boxes of {data.name} are in pixels of images of {size[0]}x{size[1]}, and the network "
            f"takes {contract.height}x{contract.width}; use a network for images of that size."
        )
    most = max([len(data.classes), *(1 + int(one.classes.max(initial=-1)) for one in objects)])
    if most != decoder.classes:
        raise UsageError(
            f"{data.name} has objects of {most} classes and the network finds {decoder.classes}; "
            "use the data that it was trained for."
        )
    return objects


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
