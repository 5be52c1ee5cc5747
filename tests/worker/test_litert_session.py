"""The worker's LiteRT session, on files that are whole, of other kinds, cut short and damaged."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.data.preprocess import Preprocessing
from edgewise.targets.tflite.builder import Builder, Steps, options, serialize
from edgewise.worker import litert, modes, tflite
from edgewise.worker.job import Protocol, WorkerError
from edgewise.worker.litert import VERSION, Session
from edgewise.worker.runtimes import RUNTIMES

SHORT = Protocol("quick", samples=20, seconds=0.0, cap_s=10.0,
                 warm_up_count=4, warm_up_s=0.0, warm_up_cap_s=2.0, rounds=2)  # fmt: skip
CONTRACT = Preprocessing(8, 8, 3, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
WEIGHT = np.random.default_rng(7).standard_normal((4, 1, 1, 3)).astype(np.float32)


def little(batch: int | None = None, codes: bool = False) -> bytes:
    """A 1x1 convolution of images 3x8x8 and the mean of each channel.

    batch: the only one it takes; codes: the input is int8.
    """
    builder = Builder()
    given = builder.computed("x", (batch or 1, 3, 8, 8), Steps((0.1,)) if codes else None)
    source = given
    if codes:
        floats = builder.computed("floats", given.shape)
        source = builder.operator("DEQUANTIZE", [given], floats, options("Dequantize"))
    order = builder.constant("order", np.asarray([0, 2, 3, 1], np.int32))
    turned = builder.computed("turned", (batch or 1, 8, 8, 3))
    image = builder.operator("TRANSPOSE", [source, order], turned, options("Transpose"))
    weight = builder.constant("weight", WEIGHT)
    bias = builder.constant("bias", np.zeros(4, np.float32))
    settings = options("Conv2D", padding=1, strideH=1, strideW=1)
    found = builder.computed("conv", (batch or 1, 8, 8, 4))
    conv = builder.operator("CONV_2D", [image, weight, bias], found, settings)
    axes = builder.constant("axes", np.asarray([1, 2], np.int32))
    mean = builder.computed("y", (batch or 1, 4))
    result = builder.operator("MEAN", [conv, axes], mean, options("Reducer", keepDims=False))
    model = builder.model(given, [result], {})
    if batch:
        for tensor in model.subgraphs[0].tensors:
            tensor.shapeSignature = None
    return serialize(model)


def expected(images: NDArray[np.float32]) -> NDArray[Any]:
    return np.asarray(np.einsum("nchw,oc->no", images.astype(np.float64), WEIGHT[:, 0, 0]) / 64)


@pytest.fixture
def make_tflite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.chdir(tmp_path)

    def make(content: bytes | None = None, **settings: Any) -> Path:
        path = tmp_path / "net.tflite"
        path.write_bytes(little(**settings) if content is None else content)
        return path

    return make


def job(mode: str, artifact: Path, **more: Any) -> Any:
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return {"mode": mode, "runtime": "litert", "artifact": artifact.name, "digest": digest,
            "output": "out.npy", "protocol": SHORT.__dict__, **more}  # fmt: skip


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("count", [1, 9])
def test_evaluation_gives_every_image_its_output(
    make_tflite: Callable[..., Path], batch: int | None, count: int
) -> None:
    stored = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)
    np.savez("in.npz", images=stored)
    contract = CONTRACT.to_json()
    asked = job("evaluate", make_tflite(batch=batch), images="in.npz", contract=contract, batch=4)
    answer = modes.perform(asked)
    assert (answer["images"], answer["outputs"]) == (count, ["y"])
    assert answer["machine"]["runtime_version"] == VERSION
    np.testing.assert_allclose(np.load("out.npy"), expected(CONTRACT.apply(stored)), atol=1e-5)


@pytest.mark.parametrize("mode", ["latency", "memory"])
def test_it_is_measured_like_any_other(make_tflite: Callable[..., Path], mode: str) -> None:
    answer = modes.perform(job(mode, make_tflite()))
    assert answer["mode"] == mode
    assert mode == "memory" or len(np.load("out.npy")) == answer["samples"] >= 10


def test_a_device_tells_that_it_has_it() -> None:
    assert modes.perform({"mode": "facts"})["runtimes"]["litert"] == VERSION


def test_without_it_the_package_is_named_as_pip_knows_it(
    make_tflite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNTIMES, "litert", "not_there")
    with pytest.raises(WorkerError, match="pip install ai-edge-litert"):
        modes.perform(job("latency", make_tflite()))


def test_the_shape_says_what_is_open(make_tflite: Callable[..., Path]) -> None:
    assert Session(str(make_tflite()), 1).shape == (None, 3, 8, 8)
    assert Session(str(make_tflite(batch=4)), 1).shape == (4, 3, 8, 8)
    session = Session(str(make_tflite()), 1)
    with pytest.raises(WorkerError, match=r"takes \?x3x8x8 and is given 1x3x16x8"):
        session.feed(np.zeros((1, 3, 16, 8), np.float32))


def test_batches_of_other_sizes_come_one_after_the_other(
    make_tflite: Callable[..., Path],
) -> None:
    session = Session(str(make_tflite()), 1)
    draw = np.random.default_rng(0)
    for count in (1, 5, 5, 2):
        images = draw.standard_normal((count, 3, 8, 8), np.float32)
        (found,) = session.run(session.feed(images))
        np.testing.assert_allclose(found, expected(images), atol=1e-5)


def test_a_model_of_codes_is_refused(make_tflite: Callable[..., Path]) -> None:
    with pytest.raises(WorkerError, match="feeds one input of floats; this model takes x int8"):
        Session(str(make_tflite(codes=True)), 1)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="cannot be read"):
        Session(str(tmp_path / "absent.tflite"), 1)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x1c\0\0\0TFL3", b"\0" * 999])
def test_what_is_no_model_is_refused(make_tflite: Callable[..., Path], content: bytes) -> None:
    with pytest.raises(WorkerError, match="cannot load it"):
        modes.perform(job("latency", make_tflite(content)))


WHOLE = little()


@settings(max_examples=60, derandomize=True)
@given(length=st.integers(0, len(WHOLE) - 1))
def test_a_file_that_is_cut_short_is_refused(
    length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.tflite"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(WorkerError, match="cannot load it"):
        Session(str(path), 1)


@settings(max_examples=300, derandomize=True)
@given(place=st.integers(8, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_damaged_file_is_checked_without_an_error_of_another_kind(place: int, byte: int) -> None:
    content = bytearray(WHOLE)
    content[place] = byte
    with suppress(WorkerError):
        tflite.check(bytes(content))


def test_a_whole_file_passes_the_check() -> None:
    tflite.check(WHOLE)


_DAMAGE = """
import os, random, sys
import numpy as np
from edgewise.worker.job import WorkerError
from edgewise.worker.litert import Session

whole, draw = open(sys.argv[1], "rb").read(), random.Random(0)
for _ in range(200):
    content = bytearray(whole)
    content[draw.randrange(8, len(whole))] = draw.randrange(256)
    with open(sys.argv[2], "wb") as file:
        file.write(content)
    child = os.fork()
    if child == 0:
        try:
            session = Session(sys.argv[2], 1)
            session.run(np.zeros([size or 1 for size in session.shape], np.float32))
        except WorkerError:
            pass
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_damaged_file_never_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "whole.tflite").write_bytes(WHOLE)
    command = [sys.executable, "-c", _DAMAGE, "whole.tflite", "damaged.tflite"]
    assert modes.__file__ is not None
    environment = {**os.environ, "PYTHONPATH": str(Path(modes.__file__).parents[2])}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda graph: graph.operators[1].inputs.__setitem__(1, 77), "none of its"),
        (lambda graph: graph.tensors[0].shape.__setitem__(1, -3), "has the shape"),
        (lambda graph: graph.tensors[0].shape.__setitem__(1, 2**30), "has the shape"),
        (lambda graph: setattr(graph.tensors[1], "buffer", 99), "has no buffer"),
        (lambda graph: graph.tensors[3].shape.__setitem__(0, 5), "not of its shape"),
        (lambda graph: setattr(graph.operators[0], "opcodeIndex", 9), "of no kind"),
    ],
)
def test_what_would_read_beyond_the_file_is_named(change: Callable[[Any], None], said: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(WHOLE), 0)
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        tensor.shape = list(tensor.shape)
    for operator in graph.operators:
        operator.inputs = list(operator.inputs)
    change(graph)
    with pytest.raises(WorkerError, match=said):
        tflite.check(serialize(model))


def test_an_operator_of_a_later_version_is_told_as_an_old_runtime() -> None:
    # What tflite-runtime 2.14 says of a fully connected layer with a scale per channel.
    said = (
        "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version of "
        "this builtin might be supported.\nRegistration failed."
    )
    told = litert._line(RuntimeError(said))
    assert told.startswith("Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'.")
    assert "older than what the artifact needs: update it" in told
    assert "older than" not in litert._line(RuntimeError("Registration failed."))


@pytest.mark.parametrize("has_forerunner", [True, False])
def test_boards_without_litert_may_have_its_forerunner(
    has_forerunner: bool, tmp_path: Path
) -> None:
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '2.14.0'")
    (package / "interpreter.py").write_text("Interpreter = None" if has_forerunner else "import no")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.modules['ai_edge_litert'] = None\n"
        "from edgewise.worker import litert; print(litert.VERSION)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )  # fmt: skip
    if has_forerunner:
        assert ran.stdout.strip() == "2.14.0 of tflite-runtime"
    else:
        assert "ai_edge_litert" in ran.stderr.splitlines()[-1]
