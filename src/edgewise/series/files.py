"""A series on disk: one record, and the raw samples beside it."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import store
from edgewise.errors import StorageError
from edgewise.series.series import Series
from edgewise.stats import Samples


def save_series(series: Series, path: Path) -> None:
    """Write the record to `path` and the samples to `STEM-samples/N.npy`, seconds, float64."""
    raw = []
    for index, one in enumerate(series.measurements):
        content = io.BytesIO()
        np.save(content, one.samples, allow_pickle=False)
        file = Path(f"{path.stem}-samples") / f"{index}.npy"
        store.write_bytes(path.parent / file, content.getvalue())
        raw.append({"file": file.as_posix(), "sha256": store.digest(content.getvalue())})
    stored = series.to_json()
    request = {"protocol": stored["protocol"], "device": series.device}
    inputs = {one.name: one.digest for one in series.measurements}
    store.Record("measurement", request, inputs, {**stored, "raw": raw}).save(path)


def load_series(path: Path) -> Series:
    """The series that `save_series` wrote; raises StorageError when anything of it was changed."""
    record = store.read_record(path)
    if record.get("kind") != "measurement":
        raise StorageError(f"{path} is a record of kind '{record.get('kind')}', not measurement.")
    result = record["result"]
    try:
        samples = [_samples(path.parent / raw["file"], raw["sha256"]) for raw in result["raw"]]
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} does not say where its samples are: {error!r}.") from error
    return Series.from_json(result, samples)


def _samples(path: Path, sha256: Any) -> Samples:
    if store.digest_file(path) != sha256:
        raise StorageError(f"{path} was changed after it was written: its digest does not hold.")
    try:
        samples: Samples = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{path} holds no samples: {error}.") from error
    return samples
