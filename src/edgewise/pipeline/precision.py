"""Variants by how well they find objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from edgewise import spotting, store
from edgewise.data.objects import Objects
from edgewise.dispatch import Variant
from edgewise.inference import run_detector
from edgewise.pipeline.manifest import Made
from edgewise.pipeline.pictures import class_names, save_pictures
from edgewise.pipeline.scoring import Scoring
from edgewise.pipeline.work import Work
from edgewise.spotting import Judged
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.stored import Found, Seen, pack
from edgewise.tasks.detection.suppression import Suppression


@final
@dataclass(frozen=True)
class Precision(Scoring):
    """Mean average precision by each executor. objects: of the test images."""

    kind: ClassVar[str] = "precision"

    decoder: Decoder
    objects: tuple[Objects, ...]
    suppression: Suppression = field(default_factory=Suppression)

    def result(self, work: Work, variants: Sequence[Made]) -> Mapping[str, Any]:
        floats = self._find(work, "the float network", work.network)
        seen = {one.recipe.name: self._seen(work, one, floats) for one in variants}
        for name, ours in seen.items():
            content = pack(ours, self.objects)
            store.write_bytes(work.folder / name / "detections.npz", content)
        classes = self.decoder.classes
        first = next(iter(seen.values()))
        baseline = Judged.of(first.artifact, self.objects, classes)
        entries = []
        for done, (name, ours) in enumerate(seen.items(), 1):
            figures = spotting.compare(ours, baseline, self.objects, classes)
            entries.append({"name": name, **figures, "detections": f"{name}/detections.npz"})
            work.progress("judge detections", done, len(seen))
        return {
            **work.head(),
            "classes": class_names(work, classes),
            "objects": int(sum((~one.difficult).sum() for one in self.objects)),
            "decoder": self.decoder.to_json(),
            "suppression": self.suppression.to_json(),
            "variants": entries,
            "pictures": save_pictures(work, [len(one) > 0 for one in self.objects]),
        }

    def _seen(self, work: Work, variant: Made, floats: Found) -> Seen:
        request, name = work.request, variant.recipe.name
        simulated = self._find(work, f"{name}, simulated", variant.compressed.network)
        artifact = Variant(name, variant.export.path, request.target.runtime)
        reading = (self.decoder, self.suppression)
        found = run_detector(
            request.device, artifact, work.test, request.contract, work.progress, reading
        )
        return Seen(floats, simulated, found)

    def _find(self, work: Work, name: str, network: Any) -> Found:
        reading = (self.decoder, self.suppression)
        return spotting.find(network, work.test, reading, work.progress, f"score {name}")
