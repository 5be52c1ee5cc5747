import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewise.data.dataset import ArrayImages, Split
from edgewise.data.preprocess import Preprocessing, finished
from edgewise.devices.fake import FakeDevice, Respond, steady
from edgewise.devices.local import LocalDevice
from edgewise.dispatch import Variant, probe
from edgewise.errors import DeviceError, ExportError, StorageError, UsageError
from edgewise.inference import run_artifact
from edgewise.measure import QUICK, Inputs, measure, schedule
from edgewise.progress import silent
from edgewise.store import digest_file

TINY = replace(QUICK, samples=20, seconds=0, warm_up_count=4, warm_up_s=0, rounds=2)
CONTRACT = Preprocessing(4, 4, 1, (0.25,), (0.5,))


def variants(folder: Path, count: int) -> list[Variant]:
    made = [Variant(f"net {index}", folder / f"{index}.onnx") for index in range(count)]
    for one in made:
        one.artifact.write_text(f"artifact of {one.name}")
    return made


def latencies(made: list[Variant]) -> dict[str, float]:
    """4 s for the first, then a second each."""
    return {digest_file(one.artifact): 1.0 if index else 4.0 for index, one in enumerate(made)}


@given(count=st.integers(1, 6), rounds=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_baseline_runs_first_last_and_between(count: int, rounds: int, seed: int) -> None:
    order = schedule(count, replace(QUICK, rounds=rounds, seed=seed))
    blocks = [tuple(block) for zero, block in itertools.groupby(order, bool) if zero]
    assert order[0] == order[-1] == 0
    assert order.count(0) == rounds + 1
    if count > 1:
        assert len(blocks) == rounds
        assert all(sorted(block) == list(range(1, count)) for block in blocks)
    assert order == schedule(count, replace(QUICK, rounds=rounds, seed=seed))


def test_rounds_are_in_different_orders() -> None:
    order = schedule(6, QUICK)
    assert len({order[start : start + 5] for start in range(1, len(order), 6)}) > 1


def test_every_variant_is_measured_in_processes_of_its_own(tmp_path: Path) -> None:
    made = variants(tmp_path, 3)
    heard: list[tuple[int, int]] = []
    with FakeDevice(steady(latencies(made))) as device:
        series = measure(
            made, device, TINY, lambda stage, done, total: heard.append((done, total))
        )  # fmt: skip
    modes = [job["mode"] for job in device.jobs]
    assert modes == ["latency"] * 7 + ["memory"] * 3
    assert [len(one.rounds) for one in series.measurements] == [3, 2, 2]
    assert [one.name for one in series.measurements] == ["net 0", "net 1", "net 2"]
    for one, variant in zip(series.measurements, made, strict=True):
        assert one.digest == digest_file(variant.artifact)
        assert one.size_bytes == variant.artifact.stat().st_size
        assert series.speed_up(one).value == pytest.approx(4.0 if one.name != "net 0" else 1, 0.05)
    assert heard == [(done, 10) for done in range(11)]
    assert (series.device, series.mode, series.condition) == ("fake", "quick", "as-shipped")


def test_jobs_carry_the_protocol_and_the_hosts_digest(tmp_path: Path) -> None:
    made = variants(tmp_path, 2)
    images = np.zeros((5, 4, 4, 1), np.uint8)
    with FakeDevice(steady(latencies(made))) as device:
        measure(made, device, replace(TINY, threads=3), silent, Inputs(images, CONTRACT))
    for job in device.jobs:
        assert job["digest"] in latencies(made)
        assert job["protocol"]["threads"] == 3
        assert job["contract"] == {**CONTRACT.to_json(), "mean": [0.25], "std": [0.5]}
        assert job["images"].endswith(".npz")


def test_variants_that_cannot_be_told_apart_or_are_absent_are_refused(tmp_path: Path) -> None:
    (one,) = variants(tmp_path, 1)
    with FakeDevice(steady({})) as device:
        for asked, said in (
            ([], "nothing to measure"),
            ([one, one], "two artifacts are named 'net 0'"),
            ([Variant("gone", tmp_path / "gone.onnx")], "no artifact .*gone.onnx"),
            ([Variant("folder", tmp_path)], "no artifact"),
        ):
            with pytest.raises(UsageError, match=said):
                measure(asked, device, TINY, silent)
    assert device.jobs == []


def test_a_host_without_space_says_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = variants(tmp_path, 1)
    with FakeDevice(steady(latencies(made))) as device, LocalDevice() as local:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
        for one in (device, local):
            with pytest.raises(StorageError, match="set TMPDIR"):
                measure(made, one, TINY, silent)
        with pytest.raises(DeviceError, match="no temporary folder"):
            LocalDevice()


def altered(respond: Respond, change: Callable[[Any, Path], Any]) -> Respond:
    def answer(job: Mapping[str, Any], folder: Path) -> Any:
        return change(dict(respond(job, folder)), folder)

    return answer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, f: {"error": "out of paper"}, "fake, latency of net 0: out of paper"),
        (lambda a, f: [a], "no answer"),
        (lambda a, f: {**a, "digest": "0"}, "did not confirm the SHA-256"),
        (lambda a, f: {k: v for k, v in a.items() if k != "load_s"}, "lacks 'load_s'"),
        (lambda a, f: (f / "output.npy").write_bytes(b"not numpy") and a, "no array"),
        (lambda a, f: (f / "output.npy").unlink(missing_ok=True) or a, "cannot be fetched"),
    ],
    ids=["error", "list", "digest", "incomplete", "broken", "no file"],
)  # fmt: skip
def test_a_worker_that_fails_is_believed_nothing(tmp_path: Path, change: Any, said: str) -> None:
    made = variants(tmp_path, 1)
    with (
        FakeDevice(altered(steady(latencies(made)), change)) as device,
        pytest.raises(DeviceError, match=said),
    ):
        measure(made, device, TINY, silent)


def make_onnx(path: Path, scale: float) -> Path:
    """relu(conv 3x3) of one channel, 4x4, every weight the same."""
    weight = numpy_helper.from_array(np.full((1, 1, 3, 3), scale, np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    taken, given_ = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 4, 4]) for name in "xy"
    )
    graph = helper.make_graph(nodes, "g", [taken], [given_], [weight])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def split(count: int) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)
    return Split("test", ArrayImages(pixels), None, "d")


def expected(images: Any, scale: float) -> Any:
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.maximum(windows.sum(axis=(4, 5)) * scale, 0)


def test_an_artifact_is_run_on_this_machine_image_by_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.inference._CHUNK", 20)
    artifact, images = make_onnx(tmp_path / "net.onnx", 0.5), split(47)
    heard: list[tuple[int, int]] = []
    with LocalDevice() as device:
        found = run_artifact(
            device, artifact, images, CONTRACT, lambda stage, *done: heard.append(done)
        )
    assert found.dtype == np.float32
    prepared = CONTRACT.apply(images.images.read(0, 47))
    np.testing.assert_allclose(found, expected(prepared, 0.5), atol=1e-5)
    assert heard == [(0, 47), (20, 47), (40, 47), (47, 47)]


def test_finished_floats_are_run_as_they_are(tmp_path: Path) -> None:
    artifact = make_onnx(tmp_path / "net.onnx", 0.5)
    floats = np.random.default_rng(1).standard_normal((3, 1, 4, 4)).astype(np.float32)
    images = Split("test", ArrayImages(floats), None, "d")
    with LocalDevice() as device:
        found = run_artifact(device, artifact, images, finished((1, 4, 4)), silent)
    np.testing.assert_allclose(found, expected(floats, 0.5), atol=1e-5)


def test_big_images_are_sent_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("edgewise.inference._CHUNK_BYTES", 100)  # six images of 16 bytes
    (one,) = variants(tmp_path, 1)
    with FakeDevice(steady({})) as device:
        assert run_artifact(device, one.artifact, split(13), CONTRACT, silent).shape == (13, 10)
    assert len(device.jobs) == 3


def test_the_first_image_without_a_finite_output_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.inference._CHUNK", 5)
    floats = np.ones((12, 1, 4, 4), np.float32)
    floats[[8, 10], 0, 2, 2] = np.nan
    images = Split("test", ArrayImages(floats), None, "d")
    artifact = make_onnx(tmp_path / "net.onnx", 1.0)
    with LocalDevice() as device, pytest.raises(ExportError, match="image 8 of test"):
        run_artifact(device, artifact, images, finished((1, 4, 4)), silent)


def test_no_images_are_nothing_to_run(tmp_path: Path) -> None:
    (one,) = variants(tmp_path, 1)
    with FakeDevice(steady({})) as device, pytest.raises(UsageError, match="no images"):
        run_artifact(device, one.artifact, split(0), CONTRACT, silent)


def test_an_answer_for_other_images_is_refused(tmp_path: Path) -> None:
    def drop(answer: Any, folder: Path) -> Any:
        np.save(folder / "output.npy", np.zeros((2, 10), np.float32))
        return answer

    (one,) = variants(tmp_path, 1)
    with (
        FakeDevice(altered(steady({}), drop)) as device,
        pytest.raises(DeviceError, match="answered 3 images with 2"),
    ):
        run_artifact(device, one.artifact, split(3), CONTRACT, silent)


def test_the_fake_answers_as_the_worker_does(tmp_path: Path) -> None:
    artifact = make_onnx(tmp_path / "net.onnx", 0.5)
    made = [Variant("net", artifact)]
    answers: list[list[Any]] = []
    with LocalDevice() as local, FakeDevice(steady({digest_file(artifact): 1e-3})) as fake:
        for device in (local, fake):
            series = measure(made, device, TINY, silent, Inputs(np.ones((2, 4, 4, 1), np.uint8),
                                                                CONTRACT))  # fmt: skip
            one = series.measurements[0]
            report = probe(device)
            answers.append([
                set(report), set(report["machine"]), set(report["state"]), set(one.machine),
                set(one.rounds[0].before), len(one.samples), series.to_json().keys(),
            ])  # fmt: skip
    assert answers[0] == answers[1]


def test_a_broken_artifact_is_the_workers_own_words(tmp_path: Path) -> None:
    artifact = tmp_path / "net.onnx"
    artifact.write_bytes(make_onnx(artifact, 1.0).read_bytes()[:50])
    with LocalDevice() as device, pytest.raises(DeviceError, match="latency of net.*cannot load"):
        measure([Variant("net", artifact)], device, TINY, silent)


def test_images_of_another_shape_are_the_workers_own_words(tmp_path: Path) -> None:
    artifact = make_onnx(tmp_path / "net.onnx", 1.0)
    with LocalDevice() as device, pytest.raises(DeviceError, match=r"takes \?x1x4x4 and is given"):
        run_artifact(device, artifact, split(2), replace(CONTRACT, height=6), silent)


def test_an_unknown_runtime_is_the_workers_own_words(tmp_path: Path) -> None:
    artifact = make_onnx(tmp_path / "net.onnx", 1.0)
    with LocalDevice() as device, pytest.raises(DeviceError, match="no runtime 'abacus'"):
        measure([Variant("net", artifact, "abacus")], device, TINY, silent)
