"""Made-up bundles, written by the same code as real ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import store
from edgewise.bundle import write_manifest
from edgewise.series.files import save_series
from edgewise.series.measurement import Measurement, Memory, Round
from edgewise.series.series import Series
from edgewise.worker.job import Protocol

HOSTILE = "<script>alert(1)</script>&\"'`|[red]$x$\x1b[31m{{ 7*7 }}"


@dataclass(frozen=True)
class Sample:
    """What a made-up bundle holds. speeds: variant -> times faster than the first; floats: layers
    that stay in float; mode: of the measurement, None for none.
    """

    model: str = "net"
    data: str = "shapes"
    stand_in_for: str | None = None
    variants: tuple[str, ...] = ("float32", "fp16", "int8")
    speeds: tuple[float, ...] = (1.0, 1.0, 3.0)
    layers: tuple[str, ...] = ("stem.conv", "body.0", "body.1", "head")
    floats: int = 1
    mode: str | None = "quick"
    device: str = "ssh://pi@board"
    labelled: bool = True
    samples: int = 60
    seed: int = 0


def build(folder: Path, sample: Sample) -> Path:
    """Write the bundle to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    artifacts = {name: _artifact(folder, place) for place, name in enumerate(sample.variants)}
    exports = {}
    for place, name in enumerate(sample.variants):
        exports[name] = f"records/export-{place}.json"
        result = _export(sample, name, artifacts[name])
        _save(folder / exports[name], "export", result)
    sensitivity = {}
    for place, name in enumerate(sample.variants):
        if name.startswith("int"):
            sensitivity[name] = f"records/sensitivity-{place}.json"
            _save(folder / sensitivity[name], "sensitivity", _sensitivity(sample, name))
    _save(folder / "records/accuracy.json", "accuracy", _accuracy(sample))
    measurement = None
    if sample.mode is not None:
        measurement = "records/measurement.json"
        save_series(series(sample, artifacts), folder / measurement)
    records = {
        "export": exports,
        "sensitivity": sensitivity,
        "accuracy": "records/accuracy.json",
        "measurement": measurement,
    }
    write_manifest(folder, _manifest(sample, artifacts, records))
    return folder


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as someone with an editor would."""
    manifest = store.read_json(folder / "manifest.json")
    change(manifest)
    store.write_json(folder / "manifest.json", manifest)


def edit_record(folder: Path, file: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a record's result and sign it again: whole, but not what it should be."""
    record = store.read_json(folder / file)
    change(record["result"])
    body = {key: value for key, value in record.items() if key != "digest"}
    store.write_json(folder / file, {**body, "digest": store.digest_json(body)})
    edit_manifest(folder, lambda manifest: manifest["files"].pop(file))


def series(sample: Sample, artifacts: Mapping[str, Path]) -> Series:
    """Samples that a machine might give: a floor, a tail, and one very slow inference."""
    random = np.random.default_rng(sample.seed)
    protocol = Protocol(sample.mode or "quick", 30, 1.0, 9.0, 5, 0.1, 1.0, rounds=3)
    found = []
    for place, (name, speed) in enumerate(zip(sample.variants, sample.speeds, strict=True)):
        found.append(
            Measurement(
                name=name,
                runtime="onnxruntime",
                digest=store.digest_file(artifacts[name]),
                size_bytes=artifacts[name].stat().st_size,
                protocol=protocol,
                machine={"cpu": "a processor", "cores": 4, "architecture": "aarch64",
                         "features": ["asimd"], "memory_bytes": 10**9, "runtime_version": "1"},
                memory=Memory(3_000_000 - place, 1_000_000, "peak resident memory"),
                rounds=tuple(
                    _round(random, 0.004 / speed, sample.samples)
                    for _ in range(protocol.rounds + (place == 0))
                ),
            )
        )  # fmt: skip
    return Series(sample.device, "as-shipped", tuple(found))


def _round(random: np.random.Generator, floor: float, samples: int) -> Round:
    times = floor * (1 + 0.02 * random.exponential(size=samples))
    times[-1] *= 12
    return Round(
        samples=times,
        load_s=0.02,
        first_s=float(times[-1]),
        warm_up_runs=10,
        warm_up_s=0.1,
        stable=True,
        complete=True,
        cpu_share=0.97,
        before={"load_average": 0.1},
        after={"load_average": 0.1},
    )


def _artifact(folder: Path, place: int) -> Path:
    path = folder / f"artifacts/{place}.onnx"
    store.write_bytes(path, bytes([place]) * (4_000_000 >> place))
    return path


def _export(sample: Sample, name: str, artifact: Path) -> dict[str, Any]:
    integer = name.startswith("int")
    kept = sample.layers[len(sample.layers) - sample.floats :]
    executions: list[dict[str, Any]] = [
        {
            "layer": layer,
            "operator": "QLinearConv" if integer and layer not in kept else "Conv",
            "macs": 1_000_000 * (place + 1),
            "integer": integer and layer not in kept,
            "meant": integer and layer not in kept,
        }
        for place, layer in enumerate(sample.layers)
    ]
    checks: list[dict[str, Any]] = [
        {"tensor": f"q{at}", "layer": layer, "elements": 640, "off": at, "worst": min(at, 1)}
        for at, layer in enumerate(("", *sample.layers))
        if integer
    ]
    total = sum(one["macs"] for one in executions)
    share = sum(one["macs"] for one in executions if one["integer"]) / total
    return {
        "runtime": "onnxruntime",
        "digest": store.digest_file(artifact),
        "size_bytes": artifact.stat().st_size,
        "images": 8,
        "checks": checks,
        "free_running": 2 if integer else 0,
        "float_error": 3.2e-3,
        "executions": executions,
        "integer_share": share,
        "worst": max((one["worst"] for one in checks), default=0),
        "first_diverging": None,
    }


def _sensitivity(sample: Sample, name: str) -> dict[str, Any]:
    layers = [
        {
            "layer": layer,
            "region": layer.partition(".")[0],
            "macs": 1_000_000 * (place + 1),
            "parameters": 100,
            "alone_sqnr_db": 40.5 - place,
            "accumulated_sqnr_db": 39.25 - 2 * place,
        }
        for place, layer in enumerate(sample.layers[: len(sample.layers) - sample.floats])
    ]
    return {"variant": name, "images": 8, "layers": layers}


def _accuracy(sample: Sample) -> dict[str, Any]:
    def estimate(value: float, half: float) -> dict[str, float] | None:
        if not sample.labelled:
            return None
        return {"value": value, "low": value - half, "high": value + half}

    variants = [
        {
            "name": name,
            "network": estimate(0.9125, 0.0055),
            "simulation": estimate(0.9125 - 0.001 * place, 0.0055),
            "artifact": estimate(0.9125 - 0.0015 * place, 0.0055),
            "difference": estimate(-0.0015 * place, 0.001 * place),
            "agreement_with_simulation": 1.0 - 0.00001 * place,
            "agreement_with_float": 1.0 - 0.002 * place,
            "outputs": f"{name}/predictions.npz",
        }
        for place, name in enumerate(sample.variants)
    ]
    return {
        "split": "test",
        "images": 10_000,
        "data": sample.data,
        "labelled": sample.labelled,
        "variants": variants,
    }


def _manifest(
    sample: Sample, artifacts: Mapping[str, Path], records: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "model": {
            "name": sample.model,
            "source": sample.model,
            "weights": "ab" * 32,
            "parameters": 923_130,
            "macs": 19_907_840,
            "regions": {},
        },
        "data": {
            "name": sample.data,
            "stand_in_for": sample.stand_in_for,
            "test_images": 10_000,
            "classes": ["a", "b"],
            "digests": {f"{sample.data}/test": "cd" * 32},
        },
        "contract": {"height": 32, "width": 32, "channels": 3, "mean": [0.5], "std": [0.5]},
        "baseline": sample.variants[0],
        "variants": [
            {
                "name": name,
                "target": "onnx",
                "runtime": "onnxruntime",
                "artifact": f"artifacts/{path.name}",
                "quantizers": None,
                "recipe": _recipe(name),
                "size_bytes": path.stat().st_size,
                "digest": store.digest_file(path),
            }
            for name, path in artifacts.items()
        ],
        "records": dict(records),
    }


def _recipe(name: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"step": "fold"}]
    if name.startswith("fp16"):
        steps.append({"step": "half"})
    if name.startswith("int"):
        steps.append({"step": "quantize", "scheme": {"weight_bits": 8}, "keep_float": []})
    return {"schema": "recipe/1", "name": name, "steps": steps}


def _save(path: Path, kind: str, result: dict[str, Any]) -> None:
    store.Record(kind, {"seed": 0}, {}, result).save(path)
