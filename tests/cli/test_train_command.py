import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from squares import squares_set

from edgewise.cli import train as train_command
from edgewise.cli.main import main
from edgewise.data import registry
from edgewise.models.load import load_model
from edgewise.progress import Progress
from edgewise.store import digest_file, read_record

Said = Callable[..., tuple[int, Any, str]]
BRIEF = ("--width", "0.03", "--epochs", "2", "--batch-size", "8", "--threads", "1")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_weights_and_their_record_are_written_and_nothing_else(
    said: Said, large_npz: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.safetensors"
    code, answer, _ = said("train", "vgg16", "--data", large_npz, *BRIEF, "-o", out)
    assert code == 0
    assert names(tmp_path) == ["net.json", "net.safetensors"]
    record = read_record(tmp_path / "net.json")
    assert record["kind"] == "training"
    assert record["result"] == answer["result"]
    assert record["inputs"]["weights"] == digest_file(out)
    assert record["request"]["options"] == {"width": 0.03, "batch_norm": True, "classes": 2}
    assert record["request"]["schedule"]["epochs"] == 2
    assert answer["result"]["size_bytes"] == out.stat().st_size
    assert answer["result"]["test_images"] == 6
    loaded = load_model("vgg16", out)
    assert loaded.module(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert loaded.contract is not None


def test_without_json_one_line_says_what_came_of_it(
    large_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.safetensors"
    assert main(["train", "vgg16", "--data", str(large_npz), *BRIEF, "-o", str(out)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("vgg16 on shades:")
    assert "of 6 test images" in text


def test_the_same_seed_gives_the_same_file(large_npz: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        seed = "1" if name == "c" else "0"
        command = ["train", "vgg16", "--data", str(large_npz), *BRIEF, "--seed", seed]
        assert main([*command, "-o", str(tmp_path / f"{name}.safetensors")]) == 0
    contents = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


@contextmanager
def _interrupting() -> Iterator[Progress]:
    def listen(stage: str, done: int, total: int) -> None:
        if stage.startswith("epoch 2"):
            signal.raise_signal(signal.SIGINT)

    yield listen


def test_ctrl_c_in_the_middle_is_130_and_the_same_command_goes_on(
    large_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ["train", "vgg16", "--data", str(large_npz), *BRIEF]
    assert main([*command, "-o", str(tmp_path / "whole.safetensors")]) == 0
    out = tmp_path / "net.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(train_command, "progress_bars", _interrupting)
        assert main([*command, "-o", str(out)]) == 130
    assert "goes on" in capsys.readouterr().err
    assert ".net.safetensors.checkpoint" in names(tmp_path)
    assert not out.exists()
    assert main([*command, "-o", str(out)]) == 0
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert names(tmp_path) == ["net.json", "net.safetensors", "whole.json", "whole.safetensors"]


def test_a_checkpoint_of_another_network_is_said(
    said: Said, large_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(train_command, "progress_bars", _interrupting)
        main(["train", "vgg16", "--data", str(large_npz), *BRIEF, "-o", str(out)])
    wide = ["--width", "0.05", *BRIEF[2:]]
    code, answer, _ = said("train", "vgg16", "--data", large_npz, *wide, "-o", out)
    assert code == 9
    assert "another network" in answer["error"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    large_npz: Path, tmp_path: Path,
    with_little_space: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:  # fmt: skip
    out = tmp_path / "net.safetensors"
    done = with_little_space(30_000, "import:edgewise.cli.train", "train", "vgg16", "--data",
                             large_npz, *BRIEF, "-o", out, "--json")  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert "could not be written" in json.loads(done.stdout)["error"]
    assert done.stderr.count("\n") == 1
    assert [name for name in names(tmp_path) if not name.endswith(".checkpoint")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--data", "{data}", "--epochs", "0"], 2, "at least 1 epoch"),
        (["--data", "{data}", "--batch-size", "1000"], 2, "a batch of 1000 is larger"),
        (["--data", "{data}", "--peak-lr", "nan"], 2, "a learning rate"),
        (["--data", "{data}", "--width", "nan"], 2, "does not take the options"),
        (["--data", "absent"], 3, "there is no data set"),
        (["--data", "random"], 3, "no split 'train'"),
        (["--data", "mnist", "--root", "absent"], 3, "data fetch mnist"),
        (["--data", "{data}", "--seed", "99999999999999999999999"], 2, "seed"),
        (["--data", "{data}", "--seed", "-1"], 2, "seed"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said(
    said: Said, large_npz: Path, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    given = [argument.format(data=large_npz) for argument in arguments]
    brief = [] if "--width" in given else ["--width", "0.03"]
    got, answer, err = said("train", "vgg16", *given, *brief, "-o", tmp_path / "net.safetensors")
    assert got == answer["exit_code"] == code
    assert text in answer["error"]
    assert "Traceback" not in err
    assert names(tmp_path) == []


def test_an_unknown_network_is_refused_with_those_there_are(
    said: Said, large_npz: Path, tmp_path: Path
) -> None:
    code, answer, _ = said("train", "vgg", "--data", large_npz, "-o", tmp_path / "x.safetensors")
    assert code == 2
    assert "known: vgg16" in answer["error"]


def test_a_detector_needs_boxes_to_learn_from(said: Said, large_npz: Path, tmp_path: Path) -> None:
    code, answer, _ = said("train", "yolov3", "--data", large_npz, "-o", tmp_path / "x.safetensors")
    assert code == 2
    assert "has no boxes" in answer["error"]


@pytest.mark.parametrize("model", ["yolov3", "yolov3-tiny"])
def test_a_detector_is_trained_and_loads_with_its_anchors(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(registry, "load", lambda *asked: squares_set())
    out = tmp_path / "net.safetensors"
    asked = ("--width", "0.03", "--epochs", "1", "--batch-size", "16", "--threads", "1")
    code, answer, _ = said("train", model, "--data", "squares", *asked, "-o", out)
    assert code == 0
    assert 0 <= answer["result"]["test_map50"] <= 1
    loaded = load_model(model, out)
    assert loaded.input_shape == (3, 64, 64)
    options = read_record(tmp_path / "net.json")["request"]["options"]
    assert (options["classes"], options["spread"]) == (2, 2.0)
    declared: Any = loaded.module.edgewise_decoder
    assert declared["anchors"] == options["anchors"]


def test_only_a_detector_takes_another_input(said: Said, large_npz: Path, tmp_path: Path) -> None:
    asked = ("--data", large_npz, "--input-shape", "3,64,64", "-o", tmp_path / "x.safetensors")
    code, answer, _ = said("train", "vgg16", *asked)
    assert code == 2
    assert "leave --input-shape out" in answer["error"]


@pytest.mark.parametrize("name", ["net.json", "net", "folder", "net.pt"])
def test_a_name_that_cannot_hold_the_weights_is_refused_before_any_work(
    said: Said, large_npz: Path, tmp_path: Path, name: str
) -> None:
    """The record would take the place of the weights, or hours of work end without a file."""
    (tmp_path / "folder").mkdir()
    code, answer, _ = said("train", "vgg16", "--data", large_npz, *BRIEF, "-o", tmp_path / name)
    assert code == 2
    assert ".safetensors" in answer["error"]
    assert names(tmp_path) == []


def test_images_of_another_size_are_fitted_to_the_network(
    said: Said, tiny_npz: Path, tmp_path: Path
) -> None:
    """Images of 8x8 go into the network's 32x32."""
    out = tmp_path / "net.safetensors"
    code, answer, _ = said("train", "vgg16", "--data", tiny_npz, *BRIEF, "-o", out)
    assert code == 0, answer
    contract = load_model("vgg16", out).contract
    assert contract is not None
    assert contract.shape == (3, 32, 32)
