"""The worker is copied to a device without the rest of edgewise; so it is here."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise.worker
from edgewise.devices.local import LocalDevice
from edgewise.store import digest_file
from edgewise.worker.job import Protocol

assert edgewise.worker.__file__ is not None
FOLDER = Path(edgewise.worker.__file__).parent
RUNTIME_OF = {
    "ort.py": {"onnxruntime"},
    "litert.py": {"ai_edge_litert", "tflite_runtime"},
    "openvino.py": {"openvino"},
}
SHORT = Protocol("quick", samples=5, seconds=0.0, cap_s=5.0,
                 warm_up_count=2, warm_up_s=0.0, warm_up_cap_s=1.0, rounds=1)  # fmt: skip


def foreign_imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
        else:
            assert not isinstance(node, ast.ImportFrom) or node.level == 1
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_file_needs_the_standard_library_numpy_and_its_one_runtime(path: Path) -> None:
    source = path.read_text()
    assert foreign_imports(source) <= {"numpy"} | RUNTIME_OF.get(path.name, set())
    ast.parse(source, feature_version=(3, 9))


def test_the_check_above_sees_what_is_forbidden() -> None:
    assert foreign_imports("def f():\n import torch.nn\n from edgewise import store") == {
        "torch",
        "edgewise",
    }


@pytest.fixture
def device() -> Iterator[LocalDevice]:
    with LocalDevice() as local:
        local.put(FOLDER, "some_other_name")
        yield local


def ask(device: LocalDevice, folder: Path, job: Any) -> Any:
    (folder / "job.json").write_text(job if isinstance(job, str) else json.dumps(job))
    device.put(folder / "job.json", "job.json")
    printed = device.run(("-m", "some_other_name", "job.json"), 60)
    assert printed.count("\n") == 1
    return json.loads(printed)


def latency_job(artifact: Path) -> dict[str, Any]:
    return {"mode": "latency", "runtime": "onnxruntime", "artifact": artifact.name,
            "digest": digest_file(artifact), "output": "s.npy",
            "protocol": SHORT.__dict__}  # fmt: skip


def test_a_copy_under_another_name_measures_with_nothing_of_the_host(
    device: LocalDevice, make_onnx: Any, tmp_path: Path
) -> None:
    artifact = make_onnx()
    device.put(artifact, artifact.name)
    answer = ask(device, tmp_path, latency_job(artifact))
    assert answer["modules"] == ["numpy", "onnxruntime", "some_other_name"]
    device.get("s.npy", tmp_path / "back.npy")
    assert len(np.load(tmp_path / "back.npy")) == answer["samples"]


def test_memory_counts_the_weights_and_not_the_runtime(
    device: LocalDevice, make_onnx: Any, tmp_path: Path
) -> None:
    def own(channels: int) -> int:
        artifact = make_onnx(channels=channels)
        device.put(artifact, artifact.name)
        job = {**latency_job(artifact), "mode": "memory"}
        answer = ask(device, tmp_path, job)
        assert answer["peak_bytes"] > answer["runtime_bytes"] > 1_000_000
        return int(answer["peak_bytes"] - answer["runtime_bytes"])

    weights = 4 * 27 * 400_000
    assert weights < own(400_000) - own(1) < 8 * weights


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ("{", "cannot be worked on"),
        ("[" * 100_000, "cannot be worked on"),
        ("3", "is an object"),
        ({"mode": "dance"}, "no mode 'dance'"),
        ({"mode": "latency", "runtime": "onnxruntime", "artifact": "absent.onnx", "output": "s",
          "protocol": SHORT.__dict__}, "cannot be read"),
    ],
    ids=["cut", "deep", "number", "mode", "absent"],
)  # fmt: skip
def test_an_answer_is_one_object_also_when_it_is_an_error(
    device: LocalDevice, tmp_path: Path, job: Any, said: str
) -> None:
    answer = ask(device, tmp_path, job)
    assert list(answer) == ["error"]
    assert said in answer["error"]


def test_a_broken_model_is_an_answer(device: LocalDevice, tmp_path: Path) -> None:
    artifact = tmp_path / "broken.onnx"
    artifact.write_bytes(b"not a model")
    device.put(artifact, artifact.name)
    assert "cannot load it" in ask(device, tmp_path, latency_job(artifact))["error"]


def test_a_job_that_is_not_there_is_an_answer(device: LocalDevice) -> None:
    for arguments in ((), ("absent.json",)):
        printed = device.run(("-m", "some_other_name", *arguments), 60)
        assert list(json.loads(printed)) == ["error"]


def test_a_device_without_numpy_gets_a_sentence(
    device: LocalDevice, tmp_path: Path
) -> None:  # fmt: skip
    (tmp_path / "numpy.py").write_text("raise ImportError('No module named numpy')")
    device.put(tmp_path / "numpy.py", "numpy.py")
    answer = ask(device, tmp_path, {"mode": "facts"})
    assert "cannot start on Python" in answer["error"]
    assert "numpy" in answer["error"]


def test_what_libraries_print_does_not_spoil_the_answer(
    device: LocalDevice, tmp_path: Path
) -> None:  # fmt: skip
    (tmp_path / "onnxruntime.py").write_text(
        "import os\nprint('hello')\nos.write(1, b'from below')\n__version__ = '9'\n"
        "class SessionOptions: pass"
    )
    device.put(tmp_path / "onnxruntime.py", "onnxruntime.py")
    assert ask(device, tmp_path, {"mode": "facts"})["runtimes"]["onnxruntime"] == "9"
