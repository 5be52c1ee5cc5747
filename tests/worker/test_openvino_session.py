"""The worker's OpenVINO session on our artifacts, and on files that are none."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.data.preprocess import Preprocessing, finished
from edgewise.devices.local import LocalDevice
from edgewise.dispatch import probe
from edgewise.worker import modes
from edgewise.worker.job import Protocol, WorkerError
from edgewise.worker.runtimes import RUNTIMES

pytest.importorskip("openvino")
from edgewise.worker.openvino import VERSION, Session

SHORT = Protocol("quick", samples=20, seconds=0.0, cap_s=10.0,
                 warm_up_count=4, warm_up_s=0.0, warm_up_cap_s=2.0, rounds=2)  # fmt: skip
CONTRACT = Preprocessing(8, 8, 3, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(mode: str, artifact: Path, **more: Any) -> Any:
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return {"mode": mode, "runtime": "openvino", "artifact": artifact.name, "digest": digest,
            "output": "out.npy", "protocol": SHORT.__dict__, **more}  # fmt: skip


def expected(artifact: Path, images: NDArray[np.float32]) -> NDArray[Any]:
    """What ONNX Runtime makes of it."""
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[0]
    size = size if isinstance(size, int) else len(images)
    rows = np.arange(-(-len(images) // size) * size) % len(images)
    parts = np.split(images[rows], len(rows) // size)
    found = [np.asarray(session.run(None, {"x": part})[0]) for part in parts]
    return np.concatenate(found)[: len(images)]


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("count", [1, 9])
def test_evaluation_gives_every_image_its_output(
    make_onnx: Make, batch: int | str, count: int
) -> None:
    artifact = make_onnx(batch=batch)
    stored = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)
    np.savez("in.npz", images=stored)
    asked = job("evaluate", artifact, images="in.npz", contract=CONTRACT.to_json(), batch=4)
    answer = modes.perform(asked)
    assert (answer["images"], answer["outputs"]) == (count, ["y"])
    assert answer["machine"]["runtime_version"] == VERSION
    found = np.load("out.npy")
    np.testing.assert_allclose(found, expected(artifact, CONTRACT.apply(stored)), atol=1e-4)


def test_it_tells_what_it_executes_and_others_say_that_they_do_not(make_onnx: Make) -> None:
    artifact = make_onnx()
    np.savez("in.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    asked = job("explain", artifact, images="in.npz", contract=CONTRACT.to_json())
    answer = modes.perform(asked)
    assert answer["shapes"] == modes.perform({**asked, "mode": "evaluate"})["shapes"]
    kinds = [one["kind"] for one in answer["operators"]]
    assert (kinds[0], kinds[-1]) == ("Input", "Output")
    assert all(set(one) == {"kind", "precision", "kernel", "layers"} for one in answer["operators"])
    with pytest.raises(WorkerError, match="onnxruntime does not tell which operators"):
        modes.perform({**asked, "runtime": "onnxruntime"})


@pytest.mark.parametrize("mode", ["latency", "memory"])
def test_it_is_measured_like_any_other(make_onnx: Make, mode: str) -> None:
    answer = modes.perform(job(mode, make_onnx()))
    assert answer["mode"] == mode
    assert mode == "memory" or len(np.load("out.npy")) == answer["samples"] >= 10


def test_a_device_tells_that_it_has_it() -> None:
    with LocalDevice() as device:
        assert probe(device)["runtimes"]["openvino"] == VERSION


def test_without_it_the_package_is_named(make_onnx: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "openvino", "not_there")
    with pytest.raises(WorkerError, match="pip install openvino"):
        modes.perform(job("latency", make_onnx()))


def test_the_shape_says_what_is_open(make_onnx: Make) -> None:
    assert Session(str(make_onnx()), 1).shape == (None, 3, 8, 8)
    session = Session(str(make_onnx(batch=4)), 1)
    assert session.shape == (4, 3, 8, 8)
    with pytest.raises(WorkerError, match="takes 4x3x8x8 and is given 4x3x16x8"):
        session.feed(np.zeros((4, 3, 16, 8), np.float32))


def test_batches_of_other_sizes_come_one_after_the_other(make_onnx: Make) -> None:
    artifact = make_onnx()
    session, kept = Session(str(artifact), 1), []
    draw = np.random.default_rng(0)
    for count in (1, 5, 5, 2):
        images = draw.standard_normal((count, 3, 8, 8), np.float32)
        kept += [(session.run(session.feed(images))[0], expected(artifact, images))]
    for found, wanted in kept:  # none was written over by a later run
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def model(path: Path, kind: int, names: str, shape: tuple[int | str, ...]) -> Path:
    """y = relu(x) and z = -x; or, of two inputs, their sum."""
    values = {name: helper.make_tensor_value_info(name, kind, shape) for name in (*names, "y", "z")}
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    outputs = [values["y"], values["z"]]
    if len(names) > 1:
        nodes, outputs = [helper.make_node("Add", list(names), ["y"])], [values["y"]]
    graph = helper.make_graph(nodes, "g", [values[name] for name in names], outputs)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_all_outputs_come_in_their_order(tmp_path: Path) -> None:
    session = Session(str(model(tmp_path / "m.onnx", TensorProto.FLOAT, "x", (1, 4))), 1)
    images = np.asarray([[1, -2, 3, -4]], np.float32)
    assert session.outputs == ("y", "z")
    found = session.run(session.feed(images))
    assert np.array_equal(found[0], np.maximum(images, 0))
    assert np.array_equal(found[1], -images)


def test_halves_are_fed_as_halves(tmp_path: Path) -> None:
    session = Session(str(model(tmp_path / "m.onnx", TensorProto.FLOAT16, "x", (1, 2))), 1)
    images = session.feed(np.asarray([[0.1, -1.0]], np.float32))
    assert images.dtype == np.float16
    assert np.array_equal(session.run(images)[1], -images)


def test_an_open_input_size_is_that_of_the_images(tmp_path: Path) -> None:
    artifact = model(tmp_path / "m.onnx", TensorProto.FLOAT, "x", ("n", 3, "h", "w"))
    with pytest.raises(WorkerError, match="--data"):
        modes.perform(job("latency", artifact))
    np.savez("in.npz", images=np.ones((2, 3, 4, 4), np.float32))
    given = {"images": "in.npz", "contract": finished((3, 4, 4)).to_json()}
    assert modes.perform(job("latency", artifact, **given))["complete"]


@pytest.mark.parametrize(
    ("kind", "names", "takes"),
    [(TensorProto.FLOAT, "xw", "x f32, w f32"), (TensorProto.INT32, "x", "x i32")],
)
def test_what_cannot_be_fed_is_refused(kind: int, names: str, takes: str, tmp_path: Path) -> None:
    artifact = model(tmp_path / "m.onnx", kind, names, (1, 2))
    with pytest.raises(WorkerError, match=f"one input of floats; this model takes {takes}"):
        Session(str(artifact), 1)


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"\x08\x08", None])
def test_what_is_no_model_is_refused(content: bytes | None, make_onnx: Make) -> None:
    artifact = make_onnx()
    artifact.write_bytes(artifact.read_bytes()[:-40] if content is None else content)
    with pytest.raises(WorkerError, match="cannot load it"):
        modes.perform(job("latency", artifact))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="cannot load it"):
        Session(str(tmp_path / "absent.onnx"), 1)
