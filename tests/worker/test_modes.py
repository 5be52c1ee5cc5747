import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.data.preprocess import Preprocessing, finished
from edgewise.worker import facts, modes
from edgewise.worker.job import MODES, Protocol, WorkerError
from edgewise.worker.runtimes import RUNTIMES

CONTRACT = Preprocessing(8, 8, 3, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
SHORT = Protocol("quick", samples=20, seconds=0.0, cap_s=10.0,
                 warm_up_count=4, warm_up_s=0.0, warm_up_cap_s=2.0, rounds=2)  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(mode: str, artifact: Path, **more: Any) -> Any:
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return {"mode": mode, "runtime": "onnxruntime", "artifact": artifact.name, "digest": digest,
            "output": "out.npy", "protocol": SHORT.__dict__, **more}  # fmt: skip


def pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)


def expected(artifact: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The conv, relu and mean of the little network, by the definition."""
    weight = onnx.numpy_helper.to_array(onnx.load(artifact).graph.initializer[0])
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    conv = np.einsum("nchwij,ocij->nohw", windows.astype(np.float64), weight.astype(np.float64))
    mean: NDArray[np.float32] = np.maximum(conv, 0).mean(axis=(2, 3)).astype(np.float32)
    return mean


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("count", [1, 9])
def test_evaluation_gives_every_image_its_output(make_onnx: Any, batch: Any, count: int) -> None:
    artifact = make_onnx(batch=batch)
    stored = pixels(count)
    np.savez("in.npz", images=stored)
    answer = modes.perform(
        job("evaluate", artifact, images="in.npz", contract=CONTRACT.to_json(), batch=4)
    )
    assert (answer["images"], answer["outputs"]) == (count, ["y"])
    found = np.load("out.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(artifact, CONTRACT.apply(stored)), atol=1e-4)


def test_latency_reports_each_stage_by_itself(make_onnx: Any) -> None:
    artifact = make_onnx()
    answer = modes.perform(job("latency", artifact))
    samples = np.load("out.npy")
    assert samples.dtype == np.float64
    assert len(samples) == answer["samples"] == SHORT.round_samples
    assert (samples > 0).all()
    assert min(answer["load_s"], answer["first_s"], answer["cpu_share"]) > 0
    assert answer["warm_up"]["count"] >= 4
    assert answer["complete"] is True
    assert answer["digest"] == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert answer["machine"]["runtime_version"] == modes.perform({"mode": "facts"})["runtimes"][
        "onnxruntime"
    ]  # fmt: skip


def test_latency_is_timed_on_images_where_they_are_given(
    make_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = pixels(3)
    np.savez("in.npz", images=stored)
    seen: list[NDArray[Any]] = []
    session = modes._runtime("onnxruntime").Session
    monkeypatch.setattr(session, "run", lambda self, images: seen.append(images))
    modes.perform(job("latency", make_onnx(), images="in.npz", contract=CONTRACT.to_json()))
    prepared = CONTRACT.apply(stored)
    assert all(np.array_equal(one, prepared[i % 3][None]) for i, one in enumerate(seen))


def test_noise_is_the_same_for_the_same_seed(
    make_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[float]] = []
    session = modes._runtime("onnxruntime").Session
    monkeypatch.setattr(session, "run", lambda self, x: seen.append(x.ravel()[:3].tolist()))
    asked = job("latency", make_onnx())
    other = {**asked, "protocol": {**asked["protocol"], "seed": 1}}
    for one in (asked, asked, other):
        modes.perform(one)
    firsts = {tuple(values) for values in seen}
    assert len(firsts) == 16  # eight inputs in turn, for each of two seeds


@pytest.mark.parametrize("mode", ["latency", "memory", "evaluate"])
def test_another_artifact_than_the_hosts_is_refused(make_onnx: Any, mode: str) -> None:
    np.savez("in.npz", images=pixels(1))
    asked = job(mode, make_onnx(), images="in.npz", contract=CONTRACT.to_json())
    with pytest.raises(WorkerError, match="send it again"):
        modes.perform({**asked, "digest": "0" * 64})
    Path(asked["artifact"]).unlink()
    with pytest.raises(WorkerError, match="cannot be read"):
        modes.perform(asked)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x08\x08"])
def test_a_broken_model_is_refused(tmp_path: Path, content: bytes) -> None:
    artifact = tmp_path / "broken.onnx"
    artifact.write_bytes(content)
    with pytest.raises(WorkerError, match="cannot load it"):
        modes.perform(job("latency", artifact))


def test_a_truncated_model_is_refused(make_onnx: Any) -> None:
    artifact = make_onnx()
    artifact.write_bytes(artifact.read_bytes()[:-40])
    with pytest.raises(WorkerError, match="cannot load it"):
        modes.perform(job("memory", artifact))


def test_images_of_another_size_are_refused(make_onnx: Any) -> None:
    np.savez("in.npz", images=pixels(1))
    contract = replace(CONTRACT, height=16).to_json()
    for mode in ("latency", "memory", "evaluate"):
        with pytest.raises(WorkerError, match=r"takes \?x3x8x8 and is given 1x3x16x8"):
            modes.perform(job(mode, make_onnx(), images="in.npz", contract=contract))


def two_inputs(path: Path) -> Path:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in ("a", "b", "c")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "g", values[:2], values[2:]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                ir_version=8), path)  # fmt: skip
    return path


def open_size(path: Path) -> Path:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3, "h", "w"]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                ir_version=8), path)  # fmt: skip
    return path


def test_a_model_with_two_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="one input"):
        modes.perform(job("latency", two_inputs(tmp_path / "two.onnx")))


def test_an_open_input_size_needs_images(tmp_path: Path) -> None:
    artifact = open_size(tmp_path / "open.onnx")
    with pytest.raises(WorkerError, match="--data"):
        modes.perform(job("latency", artifact))
    np.savez("in.npz", images=np.ones((2, 3, 4, 4), np.float32))
    given = {"images": "in.npz", "contract": finished((3, 4, 4)).to_json()}
    assert modes.perform(job("latency", artifact, **given))["complete"]


def test_an_unknown_runtime_is_refused(make_onnx: Any) -> None:
    with pytest.raises(WorkerError, match="no runtime 'abacus'"):
        modes.perform(job("latency", make_onnx(), runtime="abacus"))


def test_a_runtime_that_is_not_installed_is_named(
    make_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNTIMES, "onnxruntime", "not_there")
    with pytest.raises(WorkerError, match="pip install onnxruntime"):
        modes.perform(job("latency", make_onnx()))
    answer = modes.perform({"mode": "facts"})
    assert "onnxruntime" not in answer["runtimes"]
    assert "pip install" in answer["missing"]["onnxruntime"]


def test_a_core_that_is_not_there_is_refused(make_onnx: Any) -> None:
    asked = job("latency", make_onnx())
    with pytest.raises(WorkerError, match="pinned"):
        modes.perform({**asked, "protocol": {**asked["protocol"], "cores": [100_000]}})


def test_memory_says_so_where_it_cannot_be_measured(
    make_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "memory", lambda: None)
    answer = modes.perform(job("memory", make_onnx()))
    assert answer["peak_bytes"] is None
    assert "not measured" in answer["method"]


def test_every_mode_of_a_job_is_done() -> None:
    assert tuple(modes._MODES) == MODES
