"""`--runtime`: what runs an artifact, chosen by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from edgewise.cli.runtimes import runtime_for
from edgewise.data.dataset import Dataset
from edgewise.errors import UsageError
from edgewise.graph.network import Network
from edgewise.presets import INT8
from edgewise.targets.onnx.target import OnnxTarget

Said = Callable[..., tuple[int, Any, str]]


def test_the_name_of_the_artifact_says_what_runs_it() -> None:
    for name in ("m.onnx", "m.onnx.packed", "m.bin"):
        assert runtime_for(Path(name), None) == "onnxruntime"
    assert runtime_for(Path("m.tflite"), None) == "litert"
    assert runtime_for(Path("m.onnx.packed"), "openvino") == "openvino"


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("m.tflite", "openvino", "m.tflite runs in litert, not in openvino"),
        ("m.onnx", "litert", "m.onnx runs in onnxruntime or openvino, not in litert"),
        ("m.tflite.packed", "onnxruntime", "runs in litert, not in onnxruntime"),
    ],
)
def test_a_runtime_that_takes_no_such_file_is_refused(name: str, asked: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        runtime_for(Path(name), asked)


@pytest.mark.parametrize("command", ["measure", "evaluate"])
def test_commands_refuse_it_too(command: str, said: Said) -> None:
    code, answer, _ = said(command, "absent.onnx", "--runtime", "abacus")
    assert code == 2
    assert "abacus" in str(answer)


def test_it_is_measured_and_evaluated_where_asked(
    said: Said, captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor,
    tiny_npz: Path, tmp_path: Path,
) -> None:  # fmt: skip
    pytest.importorskip("openvino")
    made = INT8.apply(captured("plain"), tiny_data.split("calibration"))
    path = made.export(OnnxTarget(), tmp_path / "model.onnx", tiny_images).path
    scores = []
    for runtime in ("onnxruntime", "openvino"):
        code, answer, err = said("evaluate", path, "--data", tiny_npz, "--runtime", runtime)
        assert code == 0, err
        assert answer["result"]["runtime"] == runtime
        scores.append(answer["result"]["accuracy"]["value"])
    assert abs(scores[0] - scores[1]) <= 0.05
    asked = ("--quick", "--rounds", "1", "--runtime", "openvino")
    code, answer, err = said("measure", path, *asked)
    assert code == 0, err
    (measured,) = answer["result"]["measurements"]
    assert measured["runtime"] == "openvino"
