"""What is in a bundle, read once, checked, and tied to the records it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgewise import store
from edgewise.bundle import MANIFEST, read_bundle
from edgewise.errors import StorageError
from edgewise.report.parse import parse, printable
from edgewise.report.schema import (
    Accuracies,
    Accuracy,
    Closeness,
    Closenesses,
    Data,
    Export,
    Model,
    Precision,
    Precisions,
    Sensitivity,
    Variant,
)
from edgewise.series.files import load_series
from edgewise.series.measurement import Measurement
from edgewise.series.series import Series

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Source:
    """The record that figures come from. number: its mark beside them."""

    number: int
    file: str
    kind: str
    digest: str
    created: str
    command: tuple[str, ...]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class Recorded(Generic[Result]):
    """A result and the record it was read from."""

    result: Result
    source: Source


@dataclass(frozen=True)
class Contents:
    """A bundle. accuracy, precision or closeness: how good variants are; measurement: None where
    nothing was measured, or only on an emulated device; folder, files: where, and SHA-256 by name.
    """

    model: Model
    data: Data
    contract: Mapping[str, Any]
    baseline: str
    variants: tuple[Variant, ...]
    exports: Mapping[str, Recorded[Export]]
    sensitivities: Mapping[str, Recorded[Sensitivity]]
    accuracy: Recorded[Accuracies] | None
    precision: Recorded[Precisions] | None
    closeness: Recorded[Closenesses] | None
    measurement: Recorded[Series] | None
    emulated: str | None
    sources: tuple[Source, ...]
    folder: Path
    files: Mapping[str, str]

    @property
    def scores(self) -> Recorded[Accuracies] | Recorded[Precisions] | Recorded[Closenesses] | None:
        """The record that says how good the variants are."""
        return self.accuracy or self.precision or self.closeness

    def raw(self, file: str) -> bytes:
        """A file that a record names; raises StorageError where it is not the manifest's."""
        path = _inside(self.folder, file)
        if store.digest_file(path) != self.files.get(file):
            raise StorageError(f"{file} is not the file that the manifest was written with.")
        return path.read_bytes()

    def accuracy_of(self, name: str) -> Accuracy | None:
        found = () if self.accuracy is None else self.accuracy.result.variants
        return next((one for one in found if one.name == name), None)

    def precision_of(self, name: str) -> Precision | None:
        found = () if self.precision is None else self.precision.result.variants
        return next((one for one in found if one.name == name), None)

    def closeness_of(self, name: str) -> Closeness | None:
        found = () if self.closeness is None else self.closeness.result.variants
        return next((one for one in found if one.name == name), None)

    def measured(self, name: str) -> Measurement | None:
        found = () if self.measurement is None else self.measurement.result.measurements
        return next((one for one in found if printable(one.name) == name), None)


@dataclass(frozen=True)
class _Records:
    export: Mapping[str, str]
    sensitivity: Mapping[str, str]
    accuracy: str | None
    measurement: str | None
    precision: str | None = None
    closeness: str | None = None


@dataclass(frozen=True)
class _Manifest:
    model: Model
    data: Data
    contract: Mapping[str, Any]
    baseline: str
    variants: tuple[Variant, ...]
    records: _Records
    files: Mapping[str, str]


@dataclass(frozen=True)
class _Envelope:
    kind: str
    result: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    command: tuple[str, ...]
    created: str
    digest: str


def load(folder: Path) -> Contents:
    """Read the bundle in `folder`.

    Raises StorageError when a file is absent, was changed, or does not belong to the artifacts
    that the manifest names; MeasurementError when its measurements cannot be compared.
    """
    manifest = parse(_Manifest, read_bundle(folder).manifest, MANIFEST)
    reader = _Reader(folder, manifest.files)
    records = manifest.records
    accuracy = reader.optional("accuracy", records.accuracy, Accuracies)
    precision = reader.optional("precision", records.precision, Precisions)
    closeness = reader.optional("closeness", records.closeness, Closenesses)
    exports = {name: reader.read("export", file, Export) for name, file in records.export.items()}
    sensitivities = {
        name: reader.read("sensitivity", file, Sensitivity)
        for name, file in records.sensitivity.items()
    }
    measurement = None
    if records.measurement is not None:
        measurement = reader.series(records.measurement)
    emulated = measurement is not None and measurement.result.device.startswith("emulated:")
    contents = Contents(
        model=manifest.model,
        data=manifest.data,
        contract=manifest.contract,
        baseline=manifest.baseline,
        variants=manifest.variants,
        exports=exports,
        sensitivities=sensitivities,
        accuracy=accuracy,
        precision=precision,
        closeness=closeness,
        # An emulated processor proves what is computed; how long it takes means nothing.
        measurement=None if emulated else measurement,
        emulated=measurement.result.device if emulated and measurement else None,
        sources=tuple(reader.sources),
        folder=folder,
        files=manifest.files,
    )
    _check(contents)
    return contents


class _Reader:
    """Reads a bundle's records and numbers them as it goes."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._folder = folder
        self._files = files
        self.sources: list[Source] = []

    def optional(self, kind: str, file: str | None, shape: type[Result]) -> Recorded[Result] | None:
        return None if file is None else self.read(kind, file, shape)

    def read(self, kind: str, file: str, shape: type[Result]) -> Recorded[Result]:
        envelope, source = self._open(kind, file)
        return Recorded(parse(shape, envelope.result, f"{file}: result"), source)

    def series(self, file: str) -> Recorded[Series]:
        source = self._open("measurement", file)[1]
        return Recorded(load_series(self._folder / file), source)

    def _open(self, kind: str, file: str) -> tuple[_Envelope, Source]:
        path = _inside(self._folder, file)
        envelope = parse(_Envelope, store.read_record(path), file)
        if envelope.kind != kind:
            raise StorageError(f"{file} holds a record of kind '{envelope.kind}', not {kind}.")
        if self._files.get(file, digest := store.digest_file(path)) != digest:
            raise StorageError(f"{file} is not the file that the manifest was written with.")
        source = Source(
            number=len(self.sources) + 1,
            file=file,
            kind=kind,
            digest=envelope.digest,
            created=envelope.created,
            command=envelope.command,
            versions=envelope.versions,
            machine=envelope.machine,
        )
        self.sources.append(source)
        return envelope, source


def _inside(folder: Path, file: str) -> Path:
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StorageError(f"manifest.json names {file}, which lies outside of the bundle.")
    if not path.is_file():
        raise StorageError(
            f"the bundle is not whole: its manifest names {file}, which is not in "
            f"{printable(str(folder))}. Copy all of the bundle, or make it again."
        )
    return path


def _check(contents: Contents) -> None:
    """Records and manifest must speak of the same artifacts."""
    names = [one.name for one in contents.variants]
    if contents.baseline not in names or len(set(names)) != len(names):
        raise StorageError(
            f"manifest.json names {names}; each variant once, the baseline "
            f"'{contents.baseline}' among them, is what a bundle has."
        )
    for one in contents.variants:
        export, measured = contents.exports.get(one.name), contents.measured(one.name)
        digests = {one.digest}
        if export is not None:
            digests.add(export.result.digest)
        if measured is not None:
            digests.add(measured.digest)
        if len(digests) > 1:
            raise StorageError(
                f"the records of '{one.name}' speak of another artifact than the manifest does: "
                "their SHA-256 differ. Make the bundle again."
            )
    series = contents.measurement
    if series is not None and series.result.baseline.name != contents.baseline:
        raise StorageError(
            f"{series.source.file} compares with '{series.result.baseline.name}', the bundle with "
            f"'{contents.baseline}'; measure again with the bundle's baseline first."
        )
