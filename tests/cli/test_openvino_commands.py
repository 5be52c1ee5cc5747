"""From a network to a measured artifact for OpenVINO, through the commands alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.bundle import read_bundle
from edgewise.store import read_json
from edgewise.targets.openvino.target import OpenVinoTarget

Said = Callable[..., tuple[int, Any, str]]


def test_compressed_measured_verified_shown_and_evaluated(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "out"
    code, answer, err = said(
        "compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8", "--target", "openvino",
        "--device", "local", "--quick", "-o", out,
    )  # fmt: skip
    assert code == 0, err
    assert read_bundle(out).manifest == answer["result"]
    assert {one["runtime"] for one in answer["result"]["variants"]} == {"openvino"}
    export = read_json(out / "records" / "export-int8.json")
    assert export["request"]["recipe"]["steps"][-1]["profile"] == "openvino"
    assert export["result"]["integer_share"] == 1
    assert export["result"]["worst"] <= 1
    assert all("_i8" in one["operator"].lower() for one in export["result"]["executions"])
    measured = read_json(out / "records" / "measurement.json")["result"]["measurements"]
    assert {one["machine"]["runtime"] for one in measured} == {"openvino"}

    code, found, err = said("verify", out)
    assert code == 0, (found, err)
    assert said("report", out)[0] == 0
    given = (out / "int8" / "model.onnx", "--data", tiny_npz, "--split", "test")
    for runtime in ("openvino", "onnxruntime"):
        code, scored, err = said("evaluate", *given, "--runtime", runtime)
        assert code == 0, err
        assert 0 <= scored["result"]["accuracy"]["value"] <= 1


def test_without_it_the_target_is_refused_with_what_to_install(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenVinoTarget, "needs", "not_there")
    code, answer, _ = said(
        "compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8", "--target", "openvino",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert code == 2
    assert "edgewise[not_there]" in str(answer)
    assert not (tmp_path / "out").exists()
