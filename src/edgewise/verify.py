"""Check a bundle again: hashes, records, figures from raw data, and the artifacts' own answers."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import store
from edgewise.bundle import Bundle, verify_hashes
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.device import Device
from edgewise.errors import EdgewiseError, VerificationError
from edgewise.inference import run_artifact
from edgewise.parity import Predictions, classes_of, compare
from edgewise.progress import Progress
from edgewise.series.files import load_series


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
        _run("accuracy", lambda: _accuracy(made)),
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
    content = io.BytesIO((folder / name).read_bytes())  # numpy leaves a damaged file open
    with np.load(content, allow_pickle=False) as stored:
        predictions = Predictions(stored["network"], stored["simulation"], stored["artifact"])
        return predictions, stored.get("labels")


def _accuracy(made: Bundle) -> str:
    """Every figure of the accuracy record, computed again from the stored predictions."""
    result = made.record(made.manifest["records"]["accuracy"])["result"]
    loaded = [(entry, *_predictions(made.folder, entry["outputs"])) for entry in result["variants"]]
    baseline = loaded[0][1]
    for entry, ours, labels in loaded:
        again = compare(entry["name"], ours, baseline, labels).to_json()
        wrong = [key for key, value in again.items() if entry[key] != value]
        if wrong:
            raise VerificationError(
                f"{', '.join(wrong)} of {entry['name']} do not follow from its predictions."
            )
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


def _answers(made: Bundle, variant: Mapping[str, Any], rerun: Rerun, progress: Progress) -> str:
    """Run the artifact again: every image must get the class that is stored."""
    record = made.record(made.manifest["records"]["accuracy"])
    result = record["result"]
    assert rerun.data is not None
    split = rerun.data.split(result["split"]).head(result["images"])
    if split.digest != record["inputs"]["test"]:
        raise VerificationError(f"{split.name} is not the split that was scored.")
    contract = Preprocessing.from_json(made.manifest["contract"])
    path = made.folder / variant["artifact"]
    outputs = run_artifact(rerun.device, path, split, contract, progress, variant["runtime"])
    (entry,) = (entry for entry in result["variants"] if entry["name"] == variant["name"])
    stored, _ = _predictions(made.folder, entry["outputs"])
    differ = int((classes_of(outputs) != stored.artifact).sum())
    if differ:
        raise VerificationError(
            f"{differ} of {len(split)} images get another class on {rerun.device.url} than is "
            "stored; another runtime version or processor may be the cause."
        )
    return f"{len(split)} images get the stored class on {rerun.device.url}"
