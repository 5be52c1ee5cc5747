"""Everything that is done for a bundle, in order."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from edgewise import bundle, store
from edgewise.data.dataset import Split
from edgewise.dispatch import Variant
from edgewise.errors import UsageError
from edgewise.graph.cost import activation_count, layer_costs
from edgewise.graph.network import Network
from edgewise.inference import run_artifact
from edgewise.measure import Inputs, measure
from edgewise.parity import Predictions, classes_of, compare, predict
from edgewise.pipeline.manifest import Made, manifest
from edgewise.pipeline.network import captured
from edgewise.pipeline.request import BASELINE, Request
from edgewise.progress import Progress
from edgewise.quant.record import quantizer_record
from edgewise.recipe import Recipe
from edgewise.sensitivity.noise import layer_noise
from edgewise.series.files import save_series
from edgewise.steps.material import Material

_CHECK_MACS = 1e10  # of one verification: the twin computes in float64
_CHECK_VALUES = 1 << 26  # of all tensors together: checks hold every one of them
_MOST_CHECKED = 64
_TIMED_IMAGES = 32


def compress(request: Request, progress: Progress) -> bundle.Bundle:
    """Make the bundle; the folder appears when everything in it is done and verified."""
    torch.manual_seed(request.seed)
    network = captured(request.model, request.contract)
    with bundle.building(request.out) as folder:
        work = _Work(request, network, folder, progress)
        variants = [work.variant(recipe) for recipe in (BASELINE, *request.recipes)]
        records = {
            "export": {v.recipe.name: work.save_export(v) for v in variants},
            "sensitivity": work.save_sensitivity(variants),
            "accuracy": work.save_accuracy(variants),
            "measurement": work.save_measurement(variants),
        }
        bundle.write_manifest(folder, manifest(request, network, variants, records))
    store.remove_folder(checkpoints(request.out))
    return bundle.read_bundle(request.out)


def checkpoints(out: Path) -> Path:
    """Where a training that was killed goes on from: a hidden folder beside the bundle."""
    return out.resolve().with_name(f".{out.resolve().name}.checkpoint")


@dataclass(frozen=True)
class _Work:
    """One compression while it runs."""

    request: Request
    network: Network
    folder: Path
    progress: Progress

    @property
    def test(self) -> Split:
        return self.request.data.split("test").head(self.request.test_images)

    @property
    def calibration(self) -> Split:
        return self.request.data.split("calibration")

    def inputs(self, **digests: str) -> dict[str, str]:
        """What a record's result was made from."""
        return {**self.request.model.inputs, **digests}

    def check_images(self) -> torch.Tensor:
        macs = max(1, sum(layer.macs for layer in layer_costs(self.network)))
        fitting = min(_CHECK_MACS / macs, _CHECK_VALUES / activation_count(self.network))
        count = int(min(_MOST_CHECKED, max(2, fitting)))
        batch = next(self.calibration.head(count).batches(count, self.request.contract))
        return torch.from_numpy(batch)

    def material(self, name: str) -> Material:
        """What a recipe trains on; its checkpoints lie beside the bundle until that is whole."""
        data, splits = self.request.data, {split.name for split in self.request.data.splits}
        missing = {"train", "validation"} - splits
        if missing or data.split("train").labels is None:
            raise UsageError(
                f"recipe '{name}' trains, and {data.name} has no labelled "
                f"{' and '.join(sorted(missing)) or 'train'} split; give a folder with "
                "train/CLASS/*.png and validation/CLASS/*.png, or a named data set."
            )
        return Material(
            train=data.split("train"),
            validation=data.split("validation"),
            calibration=self.calibration,
            seed=self.request.seed,
            folder=checkpoints(self.request.out) / name,
        )

    def variant(self, recipe: Recipe) -> Made:
        recipe = recipe.placed_for(self.request.target.profile)
        if not self.request.integer_outputs:
            recipe = recipe.with_float_outputs(self.network)
        material = self.material(recipe.name) if recipe.trains else None
        compressed = recipe.apply(self.network, self.calibration, self.progress, material)
        self.progress(f"export and verify {recipe.name}", 0, 1)
        path = self.folder / recipe.name / f"model{self.request.target.suffix}"
        export = self.request.target.export(compressed.network, path, self.check_images())
        if recipe.quantizes:
            record = quantizer_record(compressed.network.module, self.request.target.profile)
            store.write_json(path.with_name("quant.json"), record)
        self.progress(f"export and verify {recipe.name}", 1, 1)
        return Made(recipe, compressed, export)

    def save_export(self, variant: Made) -> str:
        name = f"records/export-{variant.recipe.name}.json"
        request = {
            "recipe": variant.recipe.to_json(),
            "target": self.request.target.name,
            "seed": self.request.seed,
        }
        inputs = self.inputs(calibration=self.calibration.digest)
        result = {
            **variant.export.to_json(),
            "steps": [asdict(n) for n in variant.compressed.notes],
        }
        store.Record("export", request, inputs, result).save(self.folder / name)
        return name

    def save_sensitivity(self, variants: Sequence[Made]) -> dict[str, str]:
        names = {}
        reference = variants[0].compressed.network
        images = self.check_images()
        for variant in variants:
            if variant.recipe.quantizes and variant.recipe.keeps_function:  # else it is no noise
                layers = layer_noise(reference, variant.compressed.network, images)
                macs = {entry.layer: entry.macs for entry in variant.export.executions}
                result = {
                    "variant": variant.recipe.name,
                    "images": len(images),
                    "layers": [{**asdict(one), "macs": macs[one.layer]} for one in layers],
                }
                name = f"records/sensitivity-{variant.recipe.name}.json"
                inputs = self.inputs(calibration=self.calibration.digest)
                request = {"recipe": variant.recipe.to_json()}
                store.Record("sensitivity", request, inputs, result).save(self.folder / name)
                names[variant.recipe.name] = name
        return names

    def save_accuracy(self, variants: Sequence[Made]) -> str:
        test = self.test
        floats = predict(self.network, test, self.progress, "score the float network")
        found: list[tuple[Made, Predictions]] = []
        for variant in variants:
            network, name = variant.compressed.network, variant.recipe.name
            simulated = predict(network, test, self.progress, f"score {name}, simulated")
            outputs = run_artifact(
                self.request.device,
                variant.export.path,
                test,
                self.request.contract,
                self.progress,
                self.request.target.runtime,
            )
            predictions = Predictions(floats, simulated, classes_of(outputs))
            self._save_predictions(name, predictions, test)
            found.append((variant, predictions))
        baseline = found[0][1]
        result = {
            "split": test.name,
            "images": len(test),
            "data": self.request.data.name,
            "labelled": test.labels is not None,
            "device": self.request.device.url,
            "variants": [
                {
                    **compare(variant.recipe.name, ours, baseline, test.labels).to_json(),
                    "outputs": f"{variant.recipe.name}/predictions.npz",
                }
                for variant, ours in found
            ],
        }
        digests = {variant.recipe.name: variant.export.digest for variant, _ in found}
        name = "records/accuracy.json"
        inputs = self.inputs(test=test.digest, **digests)
        store.Record("accuracy", {"seed": self.request.seed}, inputs, result).save(
            self.folder / name
        )
        return name

    def _save_predictions(self, name: str, predictions: Predictions, test: Split) -> None:
        arrays = asdict(predictions)
        if test.labels is not None:
            arrays["labels"] = test.labels
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        store.write_bytes(self.folder / name / "predictions.npz", content.getvalue())

    def save_measurement(self, variants: Sequence[Made]) -> str | None:
        if self.request.protocol is None:
            return None
        runtime = self.request.target.runtime
        artifacts = [Variant(v.recipe.name, v.export.path, runtime) for v in variants]
        images = self.test.images.read(0, min(_TIMED_IMAGES, len(self.test)))
        series = measure(
            artifacts,
            self.request.device,
            self.request.protocol,
            self.progress,
            Inputs(images, self.request.contract),
        )
        name = "records/measurement.json"
        save_series(series, self.folder / name)
        return name
