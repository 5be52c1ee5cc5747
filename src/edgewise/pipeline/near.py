"""Variants by how close their outputs are to the float network's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import torch

from edgewise import spotting, store
from edgewise.data.preprocess import Floats
from edgewise.errors import ModelError
from edgewise.graph.network import Network, output_names
from edgewise.inference import stream_outputs
from edgewise.pipeline.manifest import Made
from edgewise.pipeline.pictures import class_names, save_pictures
from edgewise.pipeline.scoring import Scoring
from edgewise.pipeline.work import Work
from edgewise.tasks.closeness import Energies
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.stored import Seen, pack
from edgewise.tasks.detection.suppression import Suppression, detect

Outputs = tuple[Floats, ...]
Batch = tuple[Outputs, Outputs, Outputs]  # of the network, its simulation and the artifact

_BATCH = 25


@final
@dataclass(frozen=True)
class Near(Scoring):
    """Signal to noise of every output, and with a decoder agreement of what is found.

    No more than a part of the outputs is in memory at a time.
    """

    kind: ClassVar[str] = "closeness"

    decoder: Decoder | None
    suppression: Suppression = field(default_factory=Suppression)

    def result(self, work: Work, variants: Sequence[Made]) -> Mapping[str, Any]:
        entries = [self._entry(work, variant) for variant in variants]
        return {
            **work.head(),
            "outputs": list(output_names(len(entries[0]["outputs"]))),
            "decoder": None if self.decoder is None else self.decoder.to_json(),
            "suppression": None if self.decoder is None else self.suppression.to_json(),
            **self._shown(work),
            "variants": entries,
        }

    def _shown(self, work: Work) -> Mapping[str, Any]:
        """What a page needs to show detections."""
        if self.decoder is None:
            return {}
        names = class_names(work, self.decoder.classes)
        return {"classes": names, "pictures": save_pictures(work, [True] * len(work.test))}

    def _entry(self, work: Work, variant: Made) -> dict[str, Any]:
        parts: list[Energies] = []
        found: tuple[list[Detections], ...] = ([], [], [])
        for batch in _batches(work, variant):
            parts.append(Energies.of(*batch))
            if self.decoder is not None:
                for outputs, known in zip(batch, found, strict=True):
                    known.extend(detect(outputs, self.decoder, self.suppression))
        energies, name = Energies.joined(parts), variant.recipe.name
        store.write_bytes(work.folder / name / "closeness.npz", energies.to_bytes())
        entry = {"name": name, "outputs": energies.figures(), "energies": f"{name}/closeness.npz"}
        if self.decoder is None:
            return entry
        seen = Seen(*map(tuple, found))
        store.write_bytes(work.folder / name / "detections.npz", pack(seen, None))
        return {**entry, **spotting.agreements(seen), "detections": f"{name}/detections.npz"}


def _batches(work: Work, variant: Made) -> Iterator[Batch]:
    """The outputs of three executors, some images at a time."""
    request, test = work.request, work.test
    stage = f"compare {variant.recipe.name} with the float network"
    parts = stream_outputs(
        request.device, variant.export.path, test, request.contract, work.progress,
        request.target.runtime,
    )  # fmt: skip
    for (first, last), outputs in parts:
        for start in range(first, last, _BATCH):
            stop = min(start + _BATCH, last)
            images = request.contract.apply(test.images.read(start, stop))
            network = _outputs(work.network, images, start)
            simulation = _outputs(variant.compressed.network, images, start)
            ours = tuple(one[start - first : stop - first] for one in outputs)
            yield network, simulation, ours
            work.progress(stage, stop, len(test))


@torch.no_grad()
def _outputs(network: Network, images: Floats, start: int) -> Outputs:
    found = tuple(one.numpy() for one in network.all_outputs(torch.from_numpy(images)))
    if not all(np.isfinite(one).all() for one in found):
        raise ModelError(
            f"the network's outputs for an image from {start} on are not finite; it overflows on "
            "these data."
        )
    return found
