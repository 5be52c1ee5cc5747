"""From measurements of a detector's artifacts to figures, a record, and a section of a page."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.detector_artifacts import FOR_OPENVINO, FORMS, NNCF, NNCF_OPENVINO, ORT_U8, Form
from benchmarks.processes import Contender, Outcome
from docs import detector as page

from benchmarks import detector
from edgewise import store
from edgewise.cli.common import console
from edgewise.devices.fake import FakeDevice, steady
from edgewise.dispatch import Variant
from edgewise.measure import QUICK, measure
from edgewise.progress import silent

MS = {
    Form("nothing").name: 400, detector.INT8: 100, ORT_U8: 102, NNCF: 500, NNCF_OPENVINO: 60,
    detector.INT8_OPENVINO: 55, FOR_OPENVINO.name: 50,
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> detector.Results:
    """As if one peer had failed and one's file had been there; what is not in MS takes 200 ms."""
    names = list(dict.fromkeys([*(form.name for form in FORMS), *MS]))
    variants, seconds = [], {}
    for place, name in enumerate(names):
        path = tmp_path / f"{place}.onnx"
        path.write_text(name)
        variants.append(Variant(name, path))
        seconds[store.digest_file(path)] = MS.get(name, 200) / 1000
    series = measure(variants, FakeDevice(steady(seconds)), QUICK, silent)
    whole: dict[str, Any] = {"size_bytes": 100, "weight_bytes": 100, "layers": 75,
                             "in_float": 0, "float_layers": []}  # fmt: skip
    failed = Outcome(Contender("own", "p", (), tmp_path / "o"), (), "ended with exit code 1: no")
    there = Outcome(Contender("there", "p", (), tmp_path / "o"), ())
    quantizing = {one.contender.name: one for one in (failed, there)}
    return detector.Results({form.name: whole for form in FORMS}, quantizing, series)


def test_figures_set_beside_each_other_what_belongs_together(results: detector.Results) -> None:
    found = results.figures()
    assert found.speed_up.value == pytest.approx(4, rel=0.05)
    assert found.best == results.best().name == FOR_OPENVINO.name
    assert found.native is not None
    assert found.native.value == pytest.approx(60 / 50, rel=0.05)
    values = {name: one.value for name, one in found.same_runtime.items()}
    assert values == pytest.approx({ORT_U8: 1.02, NNCF: 5}, rel=0.05)
    parts = {name: one.value for name, one in found.parts.items()}
    assert len(parts) == 6
    assert parts["int8 neck"] == pytest.approx(2, rel=0.05)
    assert parts["int8 neck, LiteRT"] == pytest.approx(1, rel=0.05)


def test_what_was_not_measured_is_beside_nothing(results: detector.Results) -> None:
    assert results.over("absent", detector.INT8) is None


def test_the_record_makes_a_section(
    results: detector.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "RECORD", tmp_path / "detector.json")
    assert page.section() == []
    detector.save(results, store.Record("detector-bench", {"rounds": 5}, {}, {}), tmp_path)
    text = "\n".join(page.section())
    for part in (
        FOR_OPENVINO.name,
        detector.INT8_OPENVINO,
        "FAIL",
        "PASS",
        "| own | ended with exit code 1: no |",
    ):
        assert part in text
    stored = store.read_record(tmp_path / "detector.json")
    assert stored["result"]["packages"]["onnxruntime"]
    assert (tmp_path / "detector-latency-samples" / "0.npy").is_file()


def test_what_is_shown_says_what_failed(
    results: detector.Results, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", 160)
    detector.show(results)
    shown = capsys.readouterr().out
    assert "ended with exit code 1: no" in shown
    assert shown.count("FAIL") + shown.count("PASS") + shown.count("NOT JUDGED") == 12
