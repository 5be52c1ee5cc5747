import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli.main import main
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.qat import GENTLE, Qat
from edgewise.store import read_record

Said = Callable[..., tuple[int, Any, str]]

KILLED = """
import os, signal, sys
from contextlib import contextmanager
from edgewise.cli import compress
from edgewise.cli.main import main

@contextmanager
def listening():
    def listen(stage, done, total):
        if stage.startswith("epoch 2") and done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    yield listen

compress.progress_bars = listening
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Two stages of two epochs."""
    schedule = replace(GENTLE, epochs=2, batch_size=8, shift=0)
    step = Qat(Scheme(4, 4), schedule=schedule, before=("w8a8:1",))
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(Recipe("mine", (step,)).to_json()))
    return path


def arguments(net: Path, data: Path, recipe: Path, out: Path) -> list[str]:
    return ["compress", f"{net}:make", "--data", str(data), "--input-shape", "3,8,8", "--recipe",
            str(recipe), "--target", "onnx", "-o", str(out)]  # fmt: skip


def test_a_recipe_that_trains_ends_in_a_verified_bundle_with_its_curves(
    said: Said, net: Path, tiny_npz: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = said(*arguments(net, tiny_npz, recipe, out))
    assert code == 0, err
    export = read_record(out / "records" / "export-mine.json")["result"]
    assert export["worst"] <= 1
    assert export["integer_share"] == 1.0
    (step,) = export["steps"]
    assert len(step["curves"]["accuracy"]) == 2
    assert main(["verify", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    assert not list(tmp_path.glob(".out*"))


def test_killed_while_it_trains_it_goes_on_to_the_very_same_artifact(
    net: Path, tiny_npz: Path, recipe: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run = [sys.executable, "-m", "edgewise.cli.main"]
    subprocess.run(
        [*run, *arguments(net, tiny_npz, recipe, whole)], check=True, capture_output=True
    )
    command = arguments(net, tiny_npz, recipe, out)
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], check=False,
                            capture_output=True)  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".out.checkpoint" / "mine" / "stage-0.checkpoint").is_file()
    assert not out.exists()
    subprocess.run([*run, *command], check=True, capture_output=True)
    for name in ("mine/model.onnx", "mine/quant.json", "float32/model.onnx"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not list(tmp_path.glob(".out*"))


def test_without_labels_nothing_is_trained(
    said: Said, net: Path, recipe: Path, tmp_path: Path
) -> None:
    command = arguments(net, Path("random"), recipe, tmp_path / "out")
    code, answer, _ = said(*command)
    assert code != 0
    assert "trains" in answer["error"]
    assert not (tmp_path / "out").exists()
