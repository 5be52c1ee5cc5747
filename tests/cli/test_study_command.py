from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli.main import main
from edgewise.store import read_record
from edgewise.studies.vgg16 import scales
from edgewise.studies.vgg16.tables import PAPER

Said = Callable[..., tuple[int, Any, str]]
TINY = scales.Scale(0.03, 1, 1, 1, 1, 1, 1, {8: 1}, None, "quick", scales.Wider(0.06, 1, 1, 1),
                    "for tests")  # fmt: skip
FLOAT = "seed-0/float"


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scales.SCALES, "quick", TINY)


@pytest.fixture(scope="module")
def images(shades: Callable[[int], Path]) -> Path:
    """Enough for a batch of 128."""
    return shades(400)


def test_cells_are_computed_once_and_shown_beside_the_papers(
    said: Said, images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    how = ("vgg16", "--data", str(images), "-o", str(tmp_path), "--threads", "1")
    only = ("--only", "seed-0/w4a4", "--only", "seed-0/w8a8-every-output")
    code, answer, err = said("study", "run", *how, *only)
    assert code == 0, err
    cells = answer["result"]["cells"]
    assert set(cells) == {FLOAT, "seed-0/w8a8-target", "seed-0/w8a8-every-output", "seed-0/w4a4"}
    assert cells["seed-0/w4a4"]["result"]["artifact"]["worst_code"] == 0
    assert "artifact" not in cells["seed-0/w8a8-every-output"]["result"]
    made = read_record(tmp_path / "quick" / f"{FLOAT}.json")["created"]
    assert said("study", "run", *how, *only)[1]["result"]["cells"] == cells
    assert read_record(tmp_path / "quick" / f"{FLOAT}.json")["created"] == made
    capfd.readouterr()
    assert main(["study", "show", *how]) == 0
    shown = capfd.readouterr().out
    assert f"{PAPER['w4a4']:.2f} %" in shown
    assert "4 of" in shown
    assert "not run" in shown


def test_weights_that_are_kept_are_half_and_load_by_name(
    said: Said, images: Path, tmp_path: Path
) -> None:
    how = ("vgg16", "--data", str(images), "-o", str(tmp_path), "--threads", "1")
    assert said("study", "run", *how, "--only", FLOAT)[0] == 0
    weights = tmp_path / "quick" / f"{FLOAT}.safetensors"
    code, answer, _ = said("inspect", "vgg16", "--weights", weights)
    assert code == 0
    parameters = sum(layer["parameters"] for layer in answer["result"]["layers"])
    assert weights.stat().st_size < 3 * parameters + 20_000


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "nothing"), "vgg16"),
        (("run", "vgg16", "--only", "nothing*"), "no cell"),
        (("show", "vgg16", "--scale", "huge"), "--scale"),
        (("run", "vgg16", "--data", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    said: Said, images: Path, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    data = () if "--data" in arguments else ("--data", str(images))
    code, answer, _ = said("study", *arguments, *data, "-o", tmp_path)
    assert code != 0
    assert named in answer["error"]


def test_the_list_names_every_scale(said: Said) -> None:
    code, answer, _ = said("study", "list")
    assert code == 0
    assert set(answer["result"]["vgg16"]["scales"]) == {"quick", "standard", "full"}
