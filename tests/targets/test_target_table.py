"""Targets by their names and by the names of files."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.errors import UsageError
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.openvino.target import OpenVinoTarget
from edgewise.targets.table import TARGETS, target, target_of
from edgewise.targets.target import Export
from edgewise.worker.runtimes import runtime_of, runtimes_of


def test_targets_are_found_by_name() -> None:
    assert isinstance(target("onnx"), OnnxTarget)
    assert set(TARGETS) == {"onnx", "tflite", "openvino"}
    with pytest.raises(UsageError, match="onnx"):
        target("nothing")


def test_kernels_are_chosen_where_a_target_has_forms_for_them() -> None:
    assert target("onnx", "amx").kernels == "amx"
    assert {kind.kernels for kind in TARGETS.values()} == {"any"}
    with pytest.raises(UsageError, match="'tflite' has one form of weights"):
        target("tflite", "amx")


def test_without_its_runtime_a_target_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVinoTarget, "needs", "not_there")
    with pytest.raises(UsageError, match=r"not_there, which is not.*'edgewise\[not_there\]'"):
        target("openvino")


def test_every_target_is_known_by_its_suffix_and_to_measurements() -> None:
    for kind in TARGETS.values():
        first = next(one for one in TARGETS.values() if one.suffix == kind.suffix)
        assert isinstance(target_of(Path(f"m{kind.suffix}")), first)
        assert target_of(Path(f"model{kind.suffix}.packed")).runtime == first.runtime
        for name in (f"model{kind.suffix}", f"a.b{kind.suffix}.packed"):
            assert runtime_of(name) == first.runtime
            assert kind.runtime in runtimes_of(name)
    with pytest.raises(UsageError, match=r"known are \.onnx, \.tflite\."):
        target_of(Path("m.bin"))


def test_an_export_without_layers_has_no_share() -> None:
    export = Export(Path("x"), "r", "d", 1, 1, (), 0, 0.0, ())
    assert export.integer_share == 0
    assert export.worst == 0
    assert replace(export, images=2).to_json()["images"] == 2
