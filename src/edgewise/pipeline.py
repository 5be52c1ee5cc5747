"""From a model to a bundle: capture, compress, export and verify, compare, measure."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise import bundle, presets, store
from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.device import Device
from edgewise.errors import UsageError
from edgewise.graph.capture import capture
from edgewise.graph.cost import activation_count, layer_costs
from edgewise.graph.network import Network
from edgewise.measure import Inputs, Variant, measure, run_artifact
from edgewise.models.load import Loaded
from edgewise.parity import Predictions, classes_of, compare, predict
from edgewise.progress import Progress
from edgewise.quant.record import quantizer_record
from edgewise.recipe import Compressed, Recipe
from edgewise.sensitivity import layer_noise
from edgewise.series.files import save_series
from edgewise.targets.target import Export, Target
from edgewise.worker.job import Protocol

BASELINE = presets.FLOAT32
_CHECK_MACS = 1e10  # of one verification: the twin computes in float64
_CHECK_VALUES = 1 << 26  # of all tensors together: checks hold every one of them
_MOST_CHECKED = 64
_TIMED_IMAGES = 32
_TAKEN = {"records"}  # names of folders beside those of the variants


@dataclass(frozen=True)
class Request:
    """What to compress, how, and where to put the bundle.

    recipes: variants beside the float baseline; device: where artifacts are compared and, with a
    protocol, measured; test_images: None uses the whole test split.
    """

    model: Loaded
    data: Dataset
    contract: Preprocessing
    recipes: tuple[Recipe, ...]
    target: Target
    out: Path
    device: Device
    protocol: Protocol | None = None
    test_images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        names = [BASELINE.name, *(recipe.name for recipe in self.recipes)]
        if len(set(names)) != len(names):
            raise UsageError(f"every variant needs a name of its own, not {', '.join(names)}.")
        if taken := {name for name in names if name.lower() in _TAKEN}:
            raise UsageError(f"a recipe cannot be named '{taken.pop()}', as a bundle's folder is.")


def contract_for(model: Loaded, data: Dataset) -> Preprocessing:
    """The contract stored with the weights, else the data set's own.

    Raises UsageError when the model's input is of another size.
    """
    finished = data.contract.stored == "float32"  # then no other contract applies to them
    contract = data.contract if finished or model.contract is None else model.contract
    if model.input_shape is not None and contract.shape != model.input_shape:
        raise UsageError(
            f"{model.source} takes {model.input_shape} and {data.name} gives {contract.shape} "
            "(channels, height, width); choose other data, or set --input-shape."
        )
    return contract


def compress(request: Request, progress: Progress) -> bundle.Bundle:
    """Make the bundle; the folder appears when everything in it is done and verified."""
    torch.manual_seed(request.seed)
    network = capture(request.model.module, request.contract, request.model.name)
    with bundle.building(request.out) as folder:
        work = _Work(request, network, folder, progress)
        variants = [work.variant(recipe) for recipe in (BASELINE, *request.recipes)]
        records = {
            "export": {v.recipe.name: work.save_export(v) for v in variants},
            "sensitivity": work.save_sensitivity(variants),
            "accuracy": work.save_accuracy(variants),
            "measurement": work.save_measurement(variants),
        }
        bundle.write_manifest(folder, _manifest(work, variants, records))
    return bundle.read_bundle(request.out)


@dataclass(frozen=True)
class _Variant:
    recipe: Recipe
    compressed: Compressed
    export: Export


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

    def variant(self, recipe: Recipe) -> _Variant:
        compressed = recipe.apply(self.network, self.calibration, self.progress)
        self.progress(f"export and verify {recipe.name}", 0, 1)
        path = self.folder / recipe.name / f"model{self.request.target.suffix}"
        export = self.request.target.export(compressed.network, path, self.check_images())
        if recipe.quantizes:
            record = quantizer_record(compressed.network.module, self.request.target.profile)
            store.write_json(path.with_name("quant.json"), record)
        self.progress(f"export and verify {recipe.name}", 1, 1)
        return _Variant(recipe, compressed, export)

    def save_export(self, variant: _Variant) -> str:
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

    def save_sensitivity(self, variants: Sequence[_Variant]) -> dict[str, str]:
        names = {}
        reference = variants[0].compressed.network
        images = self.check_images()
        for variant in variants:
            if variant.recipe.quantizes:
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

    def save_accuracy(self, variants: Sequence[_Variant]) -> str:
        test = self.test
        floats = predict(self.network, test, self.progress, "score the float network")
        found: list[tuple[_Variant, Predictions]] = []
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

    def save_measurement(self, variants: Sequence[_Variant]) -> str | None:
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


def _manifest(
    work: _Work, variants: Sequence[_Variant], records: Mapping[str, Any]
) -> dict[str, Any]:
    request, costs = work.request, layer_costs(work.network)
    return {
        "model": {
            "name": request.model.name,
            "source": request.model.source,
            "weights": request.model.inputs.get("weights"),
            "inputs": dict(request.model.inputs),
            "parameters": sum(layer.parameters for layer in costs),
            "macs": sum(layer.macs for layer in costs),
            "regions": {name: list(globs) for name, globs in work.network.regions.items()},
        },
        "data": {
            "name": request.data.name,
            "stand_in_for": request.data.stand_in_for,
            "test_images": len(work.test),
            "classes": list(request.data.classes),
            "digests": request.data.digests(),
        },
        "contract": request.contract.to_json(),
        "seed": request.seed,
        "baseline": BASELINE.name,
        "variants": [_entry(work, variant) for variant in variants],
        "records": dict(records),
    }


def _entry(work: _Work, variant: _Variant) -> dict[str, Any]:
    name = variant.recipe.name
    return {
        "name": name,
        "target": work.request.target.name,
        "runtime": work.request.target.runtime,
        "artifact": f"{name}/{variant.export.path.name}",
        "quantizers": f"{name}/quant.json" if variant.recipe.quantizes else None,
        "recipe": variant.recipe.to_json(),
        "size_bytes": variant.export.size_bytes,
        "digest": variant.export.digest,
    }
