"""Everything that is done for a bundle, in order."""

from collections.abc import Sequence
from dataclasses import asdict

import torch

from edgewise import bundle, store
from edgewise.dispatch import Variant
from edgewise.graph.cost import activation_count, layer_costs
from edgewise.measure import Inputs, measure
from edgewise.pipeline.choice import scoring_of
from edgewise.pipeline.lesson import checkpoints, material
from edgewise.pipeline.manifest import Made, manifest
from edgewise.pipeline.network import captured
from edgewise.pipeline.request import BASELINE, Request
from edgewise.pipeline.scoring import save_scores
from edgewise.pipeline.work import Work
from edgewise.progress import Progress
from edgewise.quant.record import quantizer_record
from edgewise.recipe import Recipe
from edgewise.sensitivity.noise import layer_noise
from edgewise.series.files import save_series

_CHECK_MACS = 1e10  # of one verification: the twin computes in float64
_CHECK_VALUES = 1 << 26  # of all tensors together: checks hold every one of them
_MOST_CHECKED = 64
_TIMED_IMAGES = 32


def compress(request: Request, progress: Progress) -> bundle.Bundle:
    """Make the bundle; the folder appears when everything in it is done and verified."""
    torch.manual_seed(request.seed)
    network = captured(request.model, request.contract)
    with bundle.building(request.out) as folder:
        work = Work(request, network, folder, progress)
        scoring = scoring_of(work)
        variants = [_variant(work, recipe) for recipe in (BASELINE, *request.recipes)]
        records = {
            "export": {one.recipe.name: _save_export(work, one) for one in variants},
            "sensitivity": _save_sensitivity(work, variants),
            **save_scores(scoring, work, variants),
            "measurement": _save_measurement(work, variants),
        }
        bundle.write_manifest(folder, manifest(request, network, variants, records))
    store.remove_folder(checkpoints(request.out))
    return bundle.read_bundle(request.out)


def _check_images(work: Work) -> torch.Tensor:
    macs = max(1, sum(layer.macs for layer in layer_costs(work.network)))
    fitting = min(_CHECK_MACS / macs, _CHECK_VALUES / activation_count(work.network))
    count = int(min(_MOST_CHECKED, max(2, fitting)))
    batch = next(work.calibration.head(count).batches(count, work.request.contract))
    return torch.from_numpy(batch)


def _variant(work: Work, recipe: Recipe) -> Made:
    request = work.request
    recipe = recipe.placed_for(request.target.profile)
    if not request.integer_outputs:
        recipe = recipe.with_float_outputs(work.network)
    if request.calibration_images is not None:
        recipe = recipe.calibrated_on(request.calibration_images)
    lesson = material(work, recipe.name) if recipe.trains else None
    compressed = recipe.apply(work.network, work.calibration, work.progress, lesson)
    work.progress(f"export and verify {recipe.name}", 0, 1)
    path = work.folder / recipe.name / f"model{request.target.suffix}"
    export = request.target.export(compressed.network, path, _check_images(work))
    if recipe.quantizes:
        record = quantizer_record(compressed.network.module, request.target.profile)
        store.write_json(path.with_name("quant.json"), record)
    work.progress(f"export and verify {recipe.name}", 1, 1)
    return Made(recipe, compressed, export)


def _save_export(work: Work, variant: Made) -> str:
    request = {
        "recipe": variant.recipe.to_json(),
        "target": work.request.target.name,
        "seed": work.request.seed,
    }
    inputs = work.inputs(calibration=work.calibration.digest)
    result = {
        **variant.export.to_json(),
        "steps": [asdict(n) for n in variant.compressed.notes],
    }
    record = store.Record("export", request, inputs, result)
    return work.save(record, f"export-{variant.recipe.name}")


def _save_sensitivity(work: Work, variants: Sequence[Made]) -> dict[str, str]:
    names = {}
    reference = variants[0].compressed.network
    images = _check_images(work)
    for variant in variants:
        if variant.recipe.quantizes and variant.recipe.keeps_function:  # else it is no noise
            layers = layer_noise(reference, variant.compressed.network, images)
            macs = {entry.layer: entry.macs for entry in variant.export.executions}
            result = {
                "variant": variant.recipe.name,
                "images": len(images),
                "layers": [{**asdict(one), "macs": macs[one.layer]} for one in layers],
            }
            inputs = work.inputs(calibration=work.calibration.digest)
            request = {"recipe": variant.recipe.to_json()}
            record = store.Record("sensitivity", request, inputs, result)
            name = variant.recipe.name
            names[name] = work.save(record, f"sensitivity-{name}")
    return names


def _save_measurement(work: Work, variants: Sequence[Made]) -> str | None:
    request = work.request
    if request.protocol is None:
        return None
    artifacts = [Variant(v.recipe.name, v.export.path, request.target.runtime) for v in variants]
    images = work.test.images.read(0, min(_TIMED_IMAGES, len(work.test)))
    series = measure(
        artifacts,
        request.device,
        request.protocol,
        work.progress,
        Inputs(images, request.contract),
    )
    name = "records/measurement.json"
    save_series(series, work.folder / name)
    return name
