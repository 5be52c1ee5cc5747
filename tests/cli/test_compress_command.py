import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.bundle import read_bundle, verify_hashes
from edgewise.cli.main import main
from edgewise.errors import UsageError
from edgewise.presets import INT8

Said = Callable[..., tuple[int, Any, str]]
ONNX = ("--target", "onnx")


def test_a_users_network_becomes_a_bundle_that_verifies(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, answer, err = said("compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8",
                             *ONNX, "--test-images", "10", "-o", out)  # fmt: skip
    assert code == 0, err
    made = read_bundle(out)
    assert answer["result"] == made.manifest
    assert verify_hashes(made)
    assert made.manifest["data"]["test_images"] == 10
    code, checks, _ = said("verify", out, "--data", tiny_npz)
    assert code == 0
    assert checks["result"]["holds"] is True
    assert all(check["ok"] for check in checks["result"]["checks"])
    code, score, _ = said("evaluate", out / "int8/model.onnx", "--data", tiny_npz)
    assert code == 0
    assert score["result"]["images"] == 24
    assert main(["report", str(out)]) == 0


def test_noise_needs_no_labels_and_verifies_with_its_seed(
    said: Said, net: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = said("compress", f"{net}:make", "--data", "random", "--input-shape", "3,8,8",
                        "--recipe", "int8", *ONNX, "--seed", "5", "--test-images", "4",
                        "-o", out)  # fmt: skip
    assert code == 0, err
    assert "no labels: agreement is reported" in err
    code, checks, err = said("verify", out)
    assert code == 0, err
    assert checks["result"]["holds"] is True


def test_a_bundle_that_was_changed_does_not_verify(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said("compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "fp16", *ONNX, "-o", out)
    (out / "fp16/model.onnx").write_bytes((out / "float32/model.onnx").read_bytes())
    command = ["verify", str(out), "--data", str(tiny_npz)]
    assert main(command) == 9


def test_recipes_come_from_files_too_and_layers_stay_in_float(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    recipe = {**INT8.to_json(), "name": "mine"}
    (tmp_path / "mine.json").write_text(json.dumps(recipe))
    code, answer, err = said("compress", f"{net}:sized", "--data", tiny_npz, *ONNX, "--recipe",
                             tmp_path / "mine.json", "--keep-float", "head", "--test-images", "4",
                             "-o", tmp_path / "out")  # fmt: skip
    assert code == 0, err
    assert [variant["name"] for variant in answer["result"]["variants"]] == ["float32", "mine"]
    made = read_bundle(tmp_path / "out")
    layers = made.record(made.manifest["records"]["export"]["mine"])["result"]["executions"]
    assert [(layer["layer"], layer["integer"]) for layer in layers] == [
        ("body.0", True), ("head", False),
    ]  # fmt: skip


def test_ranges_found_at_every_inference_need_no_calibration_and_the_bundle_verifies(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, answer, err = said("compress", f"{net}:sized", "--data", tiny_npz, *ONNX, "--recipe",
                             "int8-dynamic", "--test-images", "10", "-o", out)  # fmt: skip
    assert code == 0, err
    assert [one["name"] for one in answer["result"]["variants"]] == ["float32", "int8-dynamic"]
    made = read_bundle(out)
    exported = made.record(made.manifest["records"]["export"]["int8-dynamic"])["result"]
    assert exported["integer_share"] == 1
    scores = made.record(made.manifest["records"]["accuracy"])["result"]["variants"][1]
    assert scores["agreement_with_simulation"] == 1
    code, checks, err = said("verify", out, "--data", tiny_npz)
    assert code == 0, err
    assert checks["result"]["holds"] is True
    assert main(["report", str(out)]) == 0
    assert "computes them at every inference" in (out / "report.html").read_text()
    code, layers, err = said("inspect", out / "int8-dynamic/model.onnx")
    assert code == 0, err


def test_photographs_in_folders_are_compressed_for(said: Said, net: Path, tmp_path: Path) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for index in range(6):
            pixels = draw.integers(0, 255, (20, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"photos/{kind}/{index}.png")
    code, answer, err = said("compress", f"{net}:sized", "--data", tmp_path / "photos", *ONNX,
                             "--recipe", "int8", "-o", tmp_path / "out")  # fmt: skip
    assert code == 0, err
    assert answer["result"]["data"]["classes"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--recipe", "int9"], 2, "presets are fp16, int8"),
        (["--recipe", "absent.json"], 9, "does not exist"),
        (["--recipe", "{bad}"], 5, "schema 'recipe/1'"),
        (["--recipe", "{deep}"], 9, "not readable JSON"),
        (["--recipe", "int8", "--recipe", "int8"], 2, "a name of its own"),
        (["--recipe", "int8", "--device", "ssh://x"], 2, "there is no device"),
        (["--recipe", "int8", "--keep-float", "*"], 5, "no layer is left"),
        (["--recipe", "int8", "--input-shape", "3,9,9"], 2, "leave the option away"),
        (["--recipe", "int8", "--input-shape", "x"], 2, "channels,height,width"),
        (["--recipe", "int8", "--data", "absent.npz"], 3, "does not exist"),
        (["--recipe", "int8", "--weights", "absent.pt"], 4, "do not exist"),
        (["--recipe", "int8", "--seed", "-1"], 2, "seed"),
        (["--recipe", "int8", "--seed", "99999999999999999999999"], 2, "seed"),
    ],
)  # fmt: skip
def test_what_cannot_be_compressed_is_said_and_leaves_nothing(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path, arguments: list[str], code: int,
    text: str,
) -> None:  # fmt: skip
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    places = {"bad": tmp_path / "bad.json", "deep": tmp_path / "deep.json"}
    given = [argument.format(**places) for argument in arguments]
    data = [] if "--data" in given else ["--data", tiny_npz]
    out = tmp_path / "results/out"
    got, answer, err = said("compress", f"{net}:sized", *data, *given, *ONNX, "-o", out)
    assert got == answer["exit_code"] == code, answer
    assert text in answer["error"]
    assert "Traceback" not in err
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_a_folder_of_other_files_is_refused(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    code, answer, _ = said("compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8",
                           *ONNX, "-o", net.parent)  # fmt: skip
    assert code == 2
    assert "holds other files" in answer["error"]
    assert net.exists()


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    net: Path, tiny_npz: Path, tmp_path: Path,
    with_little_space: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:  # fmt: skip
    out = tmp_path / "results/out"
    done = with_little_space(1000, "import:edgewise.cli.compress", "compress", f"{net}:sized",
                             "--data", tiny_npz, "--recipe", "int8", *ONNX, "-o", out,
                             "--json")  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert "could not be written" in json.loads(done.stdout)["error"]
    assert done.stderr.count("\n") == 1
    assert list(out.parent.iterdir()) == []


def test_weights_are_laid_out_for_a_processor_and_the_bundle_says_so(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    asked = ("compress", f"{net}:sized", "--data", tiny_npz, "--test-images", "4")
    code, answer, err = said(*asked, *ONNX, "--recipe", "int8", "--kernels", "amx",
                             "-o", tmp_path / "out")  # fmt: skip
    assert code == 0, err
    assert {variant["kernels"] for variant in answer["result"]["variants"]} == {"amx"}
    code, answer, err = said(*asked, *ONNX, "--recipe", "int8", "-o", tmp_path / "plain")
    assert code == 0, err
    assert {variant["kernels"] for variant in answer["result"]["variants"]} == {"any"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((*ONNX, "--recipe", "fp16"), "fp16 has none; add --recipe int8"),
        (("--target", "tflite", "--recipe", "int8"), "'tflite' has one form of weights"),
    ],
)
def test_a_form_of_weights_that_there_is_none_of_is_refused(
    options: tuple[str, ...], says: str, said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    code, _, err = said("compress", f"{net}:sized", "--data", tiny_npz, *options,
                        "--kernels", "amx", "-o", tmp_path / "out")  # fmt: skip
    assert code == UsageError.exit_code
    assert says in " ".join(err.split())
    assert not (tmp_path / "out").exists()
