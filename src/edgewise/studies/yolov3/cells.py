"""What each kind of cell computes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from edgewise import store
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.spotting import to_json
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.qat import Qat
from edgewise.steps.quantize import Quantize
from edgewise.studies.yolov3.networks import Job, learn, load_float, save_half, train_float
from edgewise.studies.yolov3.scoring import compare, score_float
from edgewise.study import Bench

PARTS = ("backbone", "neck", "head")


@dataclass(frozen=True)
class Partial:
    """Which parts are quantized; outputs: also the layers that make the outputs."""

    parts: tuple[str, ...]
    outputs: bool = False

    @property
    def name(self) -> str:
        return "+".join(self.parts) + (" with outputs" if self.outputs else "")

    def recipe(
        self, scheme: Scheme, float_outputs: Sequence[str], images: int = Calibrate.images
    ) -> Recipe:
        """Quantization after training of these parts alone, with ranges from so many images."""
        kept = tuple(part for part in PARTS if part not in self.parts)
        if not self.outputs and "head" in self.parts:
            kept += tuple(float_outputs)
        return Recipe("partial", (Fold(), Calibrate(images), Quantize(scheme, keep_float=kept)))


def partials() -> Iterator[Partial]:
    """Every combination of parts, and those with the head also with its outputs."""
    for chosen in product((False, True), repeat=len(PARTS)):
        parts = tuple(part for part, is_in in zip(PARTS, chosen, strict=True) if is_in)
        if parts:
            yield Partial(parts)
    yield Partial(("head",), outputs=True)
    yield Partial(PARTS, outputs=True)


def float_cell(job: Job, epochs: int, bench: Bench) -> Any:
    """Train the float detector and score it."""
    job.start()
    module, curves = train_float(job, epochs, bench.scratch / "float.checkpoint", bench.progress)
    assert bench.keeps is not None, "every other cell starts from it"
    save_half(module, bench.keeps, job)
    scored = score_float(job, load_float(job, bench.keeps), bench)
    return {
        "artifact": to_json(scored.judged.estimates()),
        "classes": [
            {"name": name, **figures}
            for name, figures in zip(job.data.classes, scored.judged.by_class(), strict=True)
        ],
        "export": scored.facts(),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "threads": job.threads,
        "curves": asdict(curves),
    }


def partial_cell(job: Job, scheme: Scheme, start: str, bench: Bench) -> Any:
    """A row a combination of parts; resumed, it does not do one again that was done."""
    job.start()
    network = load_float(job, bench.weights[start])
    floats = score_float(job, network, bench)
    rows = []
    for one in partials():
        done = bench.scratch / f"{one.name}.json"
        if not done.is_file():
            recipe = one.recipe(scheme, network.float_outputs, job.scale.calibration)
            made = recipe.apply(network, job.calibration, bench.progress).network
            found = compare(job, made, bench, "partial", floats)
            store.write_bytes(done, json.dumps({"name": one.name, **found}).encode())
        rows.append(json.loads(done.read_bytes()))
    return {"float": to_json(floats.judged.estimates()), "rows": rows, "threads": job.threads}


def qat_cell(job: Job, step: Qat, start: str, bench: Bench) -> Any:
    """Quantization-aware training of the whole detector but its outputs."""
    job.start()
    network = load_float(job, bench.weights[start])
    made, curves = learn(job, network, step, bench.scratch, bench.progress)
    floats = score_float(job, network, bench)
    found = compare(job, made, bench, "qat", floats)
    return {**found, "threads": job.threads, "curves": asdict(curves)}
