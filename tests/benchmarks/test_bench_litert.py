"""The oracle beside our artifacts: judged where it ran, named where it did not."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import litert, oracle
from edgewise.data.dataset import Dataset


def result(over: dict[str, float] | None, speed: float = 6.0) -> dict[str, Any]:
    interval = {"value": speed, "low": speed - 0.1, "high": speed + 0.1}
    return {
        "variants": [
            {"name": "float32", "float_error": 1e-6},
            {"name": "int8", "speed_up": interval, "worst_code": 0},
        ],
        "oracle": {"over_ours": {} if over is None else {litert.ORACLE_INT8: over}},
    }


@pytest.mark.parametrize(
    ("low", "value", "high", "word"),
    [(0.97, 0.99, 1.01, "PASS"), (0.95, 0.97, 0.99, "FAIL"), (1.1, 1.2, 1.3, "PASS")],
)
def test_ours_is_as_fast_where_the_interval_reaches_it(
    low: float, value: float, high: float, word: str
) -> None:
    over = {"value": value, "low": low, "high": high}
    faster, beside, *_ = litert.verdicts(result(over))
    assert (faster.word, beside.word) == ("PASS", word)
    assert f"{value:.3f}x" in beside.figures
    assert litert.ORACLE_INT8 in beside.figures


def test_without_the_oracle_that_promise_is_not_judged() -> None:
    words = [one.word for one in litert.verdicts(result(None, speed=4.9))]
    assert words == ["FAIL", "NOT JUDGED", "PASS", "PASS"]


def test_an_absent_oracle_is_said_with_what_installs_it(
    tmp_path: Path, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "INTERPRETER", tmp_path / "python")
    found = litert.oracle_artifacts(nn.Identity(), tiny_data, tmp_path / "oracle")
    assert found == "not installed: make oracle"


def test_what_it_is_given_is_the_network_and_the_images(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    images = np.random.default_rng(0).normal(size=(3, 3, 5, 5)).astype(np.float32)
    oracle.give(module, images, tmp_path)
    assert np.array_equal(np.load(tmp_path / oracle.IMAGES), images)
    given = torch.from_numpy(images[1:2])
    with torch.no_grad():
        found = torch.export.load(tmp_path / oracle.PROGRAM).module()(given)
        assert torch.equal(found, module(given))


def test_an_oracle_that_fails_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!{sys.executable}\nraise SystemExit('said so')\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(oracle, "INTERPRETER", interpreter)
    assert oracle.absent() is None
    assert oracle.ask([tmp_path]) == "ended with exit code 1: said so"
