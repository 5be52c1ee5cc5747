import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_bundles import Sample, build, edit_manifest, edit_record

from edgewise import store
from edgewise.errors import EdgewiseError, StorageError
from edgewise.report import page
from edgewise.report.contents import load
from edgewise.report.rows import rows

SMALL = Sample(samples=6)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return build(tmp_path / "bundle", SMALL)


def test_every_record_is_read_and_numbered(bundle: Path) -> None:
    contents = load(bundle)
    assert [one.name for one in contents.variants] == list(SMALL.variants)
    assert [one.number for one in contents.sources] == list(range(1, len(contents.sources) + 1))
    files = {path.relative_to(bundle).as_posix() for path in bundle.glob("records/*.json")}
    assert {one.file for one in contents.sources} == files
    for one in contents.sources:
        assert one.digest == store.read_json(bundle / one.file)["digest"]


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    contents = load(build(tmp_path, replace(SMALL, mode=None, labelled=False)))
    assert contents.measurement is None
    assert contents.measured("int8") is None
    accuracy = contents.accuracy_of("int8")
    assert accuracy is not None
    assert accuracy.artifact is None
    assert accuracy.agreement_with_float == pytest.approx(0.996)


def test_an_emulated_device_has_no_times(tmp_path: Path) -> None:
    contents = load(build(tmp_path, replace(SMALL, device="emulated://raspberry-pi-4")))
    assert contents.measurement is None
    assert contents.emulated == "emulated://raspberry-pi-4"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def swap_kinds(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["records"]["accuracy"] = manifest["records"]["export"]["int8"]

    edit_manifest(folder, change)


def set_in_manifest(*path: str, value: Any) -> Callable[[Path], None]:
    def change(manifest: dict[str, Any]) -> None:
        *outer, last = path
        for name in outer:
            manifest = manifest[name]
        manifest[last] = value

    return lambda folder: edit_manifest(folder, change)


def drop(file: str, member: str) -> Callable[[Path], None]:
    return lambda folder: edit_record(folder, file, lambda result: result.pop(member))


def change_samples(folder: Path) -> None:
    path = next(folder.glob("records/measurement-samples/*.npy"))
    np.save(path, np.load(path) * 0.5)


def resign(folder: Path) -> None:
    edit_record(folder, "records/export-2.json", lambda result: result.update(digest="00" * 32))


def rewrite(folder: Path) -> None:
    """A record that is whole, but not the one that the manifest was written with."""
    path = folder / "records/accuracy.json"
    record = store.read_json(path)
    store.Record("accuracy", {"seed": 1}, {}, record["result"]).save(path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "holds no bundle"),
        (lambda folder: cut(folder / "manifest.json"), "not readable JSON"),
        (set_in_manifest("schema", value="edgewise/0"), "schema edgewise/0"),
        (set_in_manifest("kind", value="training"), "not a bundle's manifest"),
        (set_in_manifest("model", value=None), "model should be an object"),
        (set_in_manifest("model", "macs", value="many"), "model.macs should be a number"),
        (set_in_manifest("baseline", value="other"), "the baseline 'other' among them"),
        (set_in_manifest("records", "accuracy", value="records/no.json"), "not whole"),
        (set_in_manifest("records", "accuracy", value="../x.json"), "outside of the bundle"),
        (set_in_manifest("records", "accuracy", value="/etc/hostname"), "outside of the bundle"),
        (swap_kinds, "kind 'export', not accuracy"),
        (lambda folder: (folder / "records/accuracy.json").unlink(), "not whole"),
        (lambda folder: cut(folder / "records/accuracy.json"), "not readable JSON"),
        (drop("records/accuracy.json", "variants"), "lacks 'variants'"),
        (drop("records/export-2.json", "executions"), "lacks 'executions'"),
        (drop("records/measurement.json", "raw"), "where its samples are"),
        (drop("records/measurement.json", "protocol"), "not a series"),
        (change_samples, "digest does not hold"),
        (resign, "another artifact than the manifest"),
        (rewrite, "not the file that the manifest was written with"),
    ],
)
def test_what_does_not_hold_is_refused(
    bundle: Path, harm: Callable[[Path], None], said: str
) -> None:
    load(bundle)
    harm(bundle)
    with pytest.raises(StorageError, match=said):
        load(bundle)


def test_an_edited_figure_is_noticed(bundle: Path) -> None:
    path = bundle / "records/accuracy.json"
    path.write_text(path.read_text().replace("0.91", "0.99"))
    with pytest.raises(StorageError, match="changed after it was written"):
        load(bundle)


def test_a_measurement_against_another_baseline_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path, SMALL)
    set_in_manifest("baseline", value="fp16")(folder)
    with pytest.raises(StorageError, match="compares with 'float32', the bundle with 'fp16'"):
        load(folder)


def test_every_member_of_a_record_may_be_anything(bundle: Path) -> None:
    """Each member of each result, replaced by what it is not, gives a sentence or a page."""
    wrongs: tuple[Any, ...] = (None, [], {}, "x", -1, [None], {"a": []})
    for file in ("records/accuracy.json", "records/export-2.json", "records/sensitivity-2.json"):
        whole = (bundle / file).read_bytes()
        for member in store.read_json(bundle / file)["result"]:
            for wrong in wrongs:
                record = store.read_json(bundle / file)
                body = {key: value for key, value in record.items() if key != "digest"}
                body["result"] = {**record["result"], member: wrong}
                store.write_json(bundle / file, {**body, "digest": store.digest_json(body)})
                with contextlib.suppress(EdgewiseError):
                    page.compose(contents := load(bundle), rows(contents))
                (bundle / file).write_bytes(whole)
