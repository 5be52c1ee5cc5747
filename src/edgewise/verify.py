"""Check a bundle again: hashes, records, figures from raw data, and the artifacts' own answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import spotting, store
from edgewise.bundle import Bundle, verify_hashes
from edgewise.data.dataset import Dataset, Split
from edgewise.data.npz import from_npz
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.device import Device
from edgewise.dispatch import Variant
from edgewise.errors import EdgewiseError, VerificationError
from edgewise.inference import run_artifact, run_detector, stream_outputs
from edgewise.parity import Predictions, classes_of, compare
from edgewise.progress import Progress
from edgewise.series.files import load_series
from edgewise.tasks.closeness import Energies, digests
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.stored import differing, object_rows, unpack
from edgewise.tasks.detection.suppression import Suppression


@dataclass(frozen=True)
class Check:
    """One thing that was checked; ok: None where it could not be, and `detail` says why."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True)
class Rerun:
    """What lets the artifacts answer again: a device, and the data set where it is here."""

    device: Device
    data: Dataset | None


def verify(made: Bundle, rerun: Rerun, progress: Progress) -> tuple[Check, ...]:
    """Every check, failed ones included; the order is from cheap to dear."""
    checks = [
        _run("hashes", lambda: f"{len(verify_hashes(made))} files are what the manifest says"),
        _run("records", lambda: _records(made)),
        _run(_kind(made), lambda: _FIGURES[_kind(made)](made)),
        _run("measurement", lambda: _measurement(made)),
    ]
    variants = made.manifest.get("variants")
    if not isinstance(variants, list) or not all(_is_named(one) for one in variants):
        return (*checks, Check("variants", False, "the manifest's list of variants is malformed"))
    for variant in variants:
        name = f"answers of {variant['name']}"
        if rerun.data is None:
            checks.append(Check(name, None, "the images that were scored are not here"))
        else:
            checks.append(_run(name, partial(_answers, made, variant, rerun, progress)))
    return tuple(checks)


def _is_named(variant: object) -> bool:
    return isinstance(variant, Mapping) and isinstance(variant.get("name"), str)


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except EdgewiseError as error:
        return Check(name, False, str(error))
    except Exception as error:  # what a made-up bundle leads to is not ours to foresee
        return Check(name, False, f"the bundle is malformed: {error!r}")


def _record_paths(made: Bundle) -> list[str]:
    found: list[str] = []
    for entry in made.manifest["records"].values():
        values = entry.values() if isinstance(entry, Mapping) else [entry]
        found += [value for value in values if value is not None]
    return found


def _records(made: Bundle) -> str:
    paths = _record_paths(made)
    for path in paths:
        made.record(path)
    for variant in made.manifest["variants"]:
        exported = made.record(made.manifest["records"]["export"][variant["name"]])["result"]
        size = (made.folder / variant["artifact"]).stat().st_size
        if not size == exported["size_bytes"] == variant["size_bytes"]:
            raise VerificationError(f"{variant['artifact']} is {size} bytes, its record differs.")
        if not exported["digest"] == variant["digest"]:
            raise VerificationError(f"{variant['artifact']} is not the one that was verified.")
    return f"{len(paths)} records are as they were written"


def _predictions(folder: Path, name: str) -> tuple[Predictions, Any]:
    stored = from_npz((folder / name).read_bytes())
    predictions = Predictions(stored["network"], stored["simulation"], stored["artifact"])
    return predictions, stored.get("labels")


def _accuracy(made: Bundle) -> str:
    """Every figure of the accuracy record, computed again from the stored predictions."""
    result = made.record(made.manifest["records"]["accuracy"])["result"]
    loaded = [(entry, *_predictions(made.folder, entry["outputs"])) for entry in result["variants"]]
    baseline = loaded[0][1]
    for entry, ours, labels in loaded:
        _follow(entry, compare(entry["name"], ours, baseline, labels).to_json(), "predictions")
    return f"{len(loaded)} variants follow from {result['images']} stored predictions each"


def _measurement(made: Bundle) -> str:
    path = made.manifest["records"]["measurement"]
    if path is None:
        return "nothing was measured"
    stored = made.record(path)["result"]
    again = store.digest_json(load_series(made.folder / path).to_json())
    told = {key: value for key, value in stored.items() if key != "raw"}
    if again != store.digest_json(told):
        raise VerificationError(f"statistics in {path} do not follow from its raw samples.")
    return f"{len(stored['measurements'])} variants follow from their raw samples"


def _kind(made: Bundle) -> str:
    """Of the record that says how good the variants are."""
    records = made.manifest.get("records")
    known = records if isinstance(records, Mapping) else {}
    return next((kind for kind in _FIGURES if known.get(kind) is not None), "accuracy")


def _precision(made: Bundle) -> str:
    """Every figure of the precision record, computed again from the stored detections."""
    result = made.record(made.manifest["records"]["precision"])["result"]
    entries = result["variants"]
    loaded = [unpack((made.folder / one["detections"]).read_bytes()) for one in entries]
    decoder = Decoder.from_json(result["decoder"])
    baseline, objects = loaded[0]
    if objects is None:
        raise VerificationError("the objects are not stored with the detections.")
    judged = spotting.Judged.of(baseline.artifact, objects, decoder.classes)
    for entry, (seen, own) in zip(entries, loaded, strict=True):
        same = own is not None and np.array_equal(object_rows(own), object_rows(objects))
        _check(same, f"{entry['name']} has other objects than {entries[0]['name']}.")
        _follow(entry, spotting.compare(seen, judged, objects, decoder.classes), "detections")
    return f"{len(loaded)} variants follow from their detections in {len(objects)} images"


def _closeness(made: Bundle) -> str:
    """Every figure of the closeness record, computed again from the stored energies."""
    result = made.record(made.manifest["records"]["closeness"])["result"]
    for entry in result["variants"]:
        energies = Energies.from_bytes((made.folder / entry["energies"]).read_bytes())
        again: dict[str, Any] = {"outputs": energies.figures()}
        if result["decoder"] is not None:
            seen, _ = unpack((made.folder / entry["detections"]).read_bytes())
            again |= spotting.agreements(seen)
        _follow(entry, again, "stored outputs")
    return f"{len(result['variants'])} variants follow from {result['images']} images each"


def _follow(entry: Mapping[str, Any], again: Mapping[str, Any], source: str) -> None:
    """Raises VerificationError where a record says other figures than were computed again."""
    wrong = [key for key, value in again.items() if entry[key] != value]
    _check(not wrong, f"{', '.join(wrong)} of {entry['name']} do not follow from its {source}.")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VerificationError(otherwise)


def _answers(made: Bundle, variant: Mapping[str, Any], rerun: Rerun, progress: Progress) -> str:
    """Run the artifact again: every image must get the answer that is stored."""
    kind = _kind(made)
    record = made.record(made.manifest["records"][kind])
    result = record["result"]
    assert rerun.data is not None
    split = rerun.data.split(result["split"]).head(result["images"])
    if split.digest != record["inputs"]["test"]:
        raise VerificationError(f"{split.name} is not the split that was scored.")
    (entry,) = (entry for entry in result["variants"] if entry["name"] == variant["name"])
    again = _Again(made, variant, result, entry, split)
    differ, answer = _AGAIN[kind](again, rerun.device, progress)
    if differ:
        raise VerificationError(
            f"{differ} of {len(split)} images get {answer[0]} on {rerun.device.url} than is "
            "stored; another runtime version or processor may be the cause."
        )
    return f"{len(split)} images get {answer[1]} on {rerun.device.url}"


@dataclass(frozen=True)
class _Again:
    """An artifact that answers again: its bundle, what the manifest and the record say of it."""

    made: Bundle
    variant: Mapping[str, Any]
    result: Mapping[str, Any]
    entry: Mapping[str, Any]
    split: Split

    @property
    def artifact(self) -> Path:
        return self.made.folder / str(self.variant["artifact"])

    @property
    def contract(self) -> Preprocessing:
        return Preprocessing.from_json(self.made.manifest["contract"])

    def stored(self, member: str) -> bytes:
        return (self.made.folder / str(self.entry[member])).read_bytes()


Differ = tuple[int, tuple[str, str]]  # images with another answer; an other one, and the same


def _classes_again(again: _Again, device: Device, progress: Progress) -> Differ:
    outputs = run_artifact(
        device, again.artifact, again.split, again.contract, progress, again.variant["runtime"]
    )
    stored, _ = _predictions(again.made.folder, again.entry["outputs"])
    differ = int((classes_of(outputs) != stored.artifact).sum())
    return differ, ("another class", "the stored class")


def _detections_again(again: _Again, device: Device, progress: Progress) -> Differ:
    told = again.result
    reading = Decoder.from_json(told["decoder"]), Suppression.from_json(told["suppression"])
    variant = Variant(again.variant["name"], again.artifact, again.variant["runtime"])
    found = run_detector(device, variant, again.split, again.contract, progress, reading)
    stored, _ = unpack(again.stored("detections"))
    return differing(found, stored.artifact), ("other detections", "exactly the stored detections")


def _outputs_again(again: _Again, device: Device, progress: Progress) -> Differ:
    parts = stream_outputs(
        device, again.artifact, again.split, again.contract, progress, again.variant["runtime"]
    )
    found = np.concatenate([digests(outputs) for _, outputs in parts])
    stored = Energies.from_bytes(again.stored("energies")).answers
    differ = int((found != stored).any(axis=1).sum())
    return differ, ("other outputs", "exactly the stored outputs")


_FIGURES: Mapping[str, Callable[[Bundle], str]] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "closeness": _closeness,
}
_AGAIN: Mapping[str, Callable[[_Again, Device, Progress], Differ]] = {
    "accuracy": _classes_again,
    "precision": _detections_again,
    "closeness": _outputs_again,
}
