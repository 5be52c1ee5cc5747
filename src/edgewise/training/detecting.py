"""Learning to find objects, as an objective of training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import DataError, ModelError, UsageError
from edgewise.tasks.detection.anchors import find_anchors
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.imitation import imitation
from edgewise.tasks.detection.loss import Detection
from edgewise.tasks.detection.precision import evaluate
from edgewise.tasks.detection.protocol import voc
from edgewise.tasks.detection.suppression import Suppression, detect
from edgewise.training.feed import Feed
from edgewise.training.object_feed import object_feed
from edgewise.training.objective import Objective
from edgewise.training.schedule import Schedule

_BATCH = 50
_ANCHORS = 3  # of a map
_SPREAD = 2.0  # so that the cells beside a centre's own can find it too

# From scratch: AdamW, one cycle.
DETECTOR_SCHEDULE = Schedule(
    batch_size=32, peak_lr=3e-3, warmup=0.05, ema=0.998, optimizer="adam", shift=0, flip=False
)


def detector_options(data: Dataset, maps: int) -> dict[str, Any]:
    """What a training set decides of a detector: its classes, and the anchors of so many maps.

    Raises UsageError where the training images have no boxes.
    """
    objects = data.split("train").objects
    if objects is None:
        raise UsageError(f"{data.name} has no boxes; a detector learns from them.")
    sizes = np.concatenate([one.boxes[:, 2:] - one.boxes[:, :2] for one in objects])
    anchors = find_anchors(sizes, maps, _ANCHORS)
    return {"classes": len(data.classes), "anchors": anchors, "spread": _SPREAD}


def detector_goal(data: Dataset, options: Mapping[str, Any]) -> "Detected":
    """What a detector of these options learns from these images; see detector_options."""
    contract, kinds = data.contract, options["classes"]
    decoder = Decoder(options["anchors"], contract.height, contract.width, kinds, options["spread"])
    return Detected(decoder, unmirrored=data.unmirrored)


@dataclass(frozen=True)
class Detected(Objective):
    """Find objects; the score is the mean average precision of VOC at an overlap of 0.5.

    unmirrored: classes that a mirror changes; scales: of the input's sides in training, one drawn
    for every batch.
    """

    gradient_limit: ClassVar[float | None] = 10.0

    decoder: Decoder
    unmirrored: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    suppression: Suppression = field(default_factory=lambda: Suppression(score=0.01))

    def loss(self, outputs: Any, labels: Tensor, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        decoder = replace(self.decoder, height=height, width=width)
        return Detection(decoder).loss(outputs, labels)

    def imitation(self, outputs: Any, theirs: Any, temperature: float) -> Tensor:
        return imitation(outputs, theirs, self.decoder)

    def feed(
        self, split: Split, contract: Preprocessing, schedule: Schedule, device: torch.device
    ) -> Feed:
        return object_feed(split, contract, self.unmirrored, self.scales, device)

    def samples(
        self, split: Split, contract: Preprocessing, schedule: Schedule
    ) -> Iterator[Tensor]:
        """Batches as they are trained on: colours and gain are drawn anew, and statistics of plain
        images are none that the weights know.
        """
        plain = replace(self, scales=())
        feed = plain.feed(split, contract, schedule, torch.device("cpu"))
        generator = torch.Generator().manual_seed(len(feed))
        for start in range(0, len(feed), schedule.batch_size):
            chosen = torch.arange(start, min(start + schedule.batch_size, len(feed)))
            yield feed.batch(chosen, generator)[0]

    def score(self, module: nn.Module, split: Split, contract: Preprocessing) -> float:
        assert split.objects is not None, "a split without boxes has no precision"
        found = find_objects(module, split, contract, self.decoder, self.suppression)
        return evaluate(found, split.objects, self.decoder.classes, voc()).mean

    def refuse(self, outputs: Any, images: Tensor) -> None:
        maps = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        try:
            self.decoder.strides([tuple(one.shape) for one in maps])
        except DataError as error:
            raise ModelError(f"the network gives no maps of this decoder: {error}") from error


@torch.no_grad()
def find_objects(
    module: nn.Module,
    split: Split,
    contract: Preprocessing,
    decoder: Decoder,
    suppression: Suppression,
) -> Sequence[Detections]:
    """What a network finds in every image of a split; it is in eval mode after the call."""
    module.eval()
    device = next(module.parameters()).device
    found: list[Detections] = []
    for batch in split.batches(_BATCH, contract):
        images = torch.from_numpy(batch).to(device, memory_format=torch.channels_last)
        maps = [one.float().cpu().numpy() for one in module(images)]
        found.extend(detect(maps, decoder, suppression))
    return found
