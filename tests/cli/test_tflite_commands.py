"""From a network to a measured TFLite artifact, through the commands alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.bundle import read_bundle
from edgewise.store import read_json

Said = Callable[..., tuple[int, Any, str]]


def test_compressed_inspected_evaluated_and_measured(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, answer, err = said(
        "compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8", "--recipe",
        "int8-dynamic", "--target", "tflite", "-o", out,
    )  # fmt: skip
    assert code == 0, err
    assert read_bundle(out).manifest == answer["result"]
    artifact = out / "int8" / "model.tflite"
    export = read_json(out / "records" / "export-int8.json")
    assert export["request"]["recipe"]["steps"][-1]["profile"] == "litert"
    assert export["result"]["integer_share"] == 1
    assert export["result"]["worst"] == 0
    assert read_json(out / "int8" / "quant.json")["profile"] == "litert"
    assert "ai-edge-litert" in export["versions"]

    _, shown, _ = said("inspect", artifact)
    found = {(one["stored"], one["activations"]) for one in shown["result"]["layers"]}
    assert found == {("int8", "int8")}

    _, scored, _ = said("evaluate", artifact, "--data", tiny_npz, "--split", "test")
    assert 0 <= scored["result"]["accuracy"]["value"] <= 1

    baseline = out / "float32" / "model.tflite"
    code, timed, err = said("measure", baseline, artifact, "--quick", "--rounds", "1")
    assert code == 0, err
    assert {one["runtime"] for one in timed["result"]["measurements"]} == {"litert"}


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_a_file_that_is_none_is_refused(command: str, tmp_path: Path, said: Said) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3")
    data = ["--data", "random"] if command == "evaluate" else []
    code, answer, _ = said(command, path, *data)
    assert code == 4
    assert "not a TFLite model" in str(answer)
