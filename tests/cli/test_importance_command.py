from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise import store
from edgewise.cli.main import main

Said = Callable[..., tuple[int, Any, str]]
FEW = ("--images", "12", "--draws", "3")


@pytest.mark.parametrize("by", ["channel", "layer"])
def test_worth_shares_out_the_loss_and_is_stored(
    by: str, said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    out = tmp_path / "worth.json"
    command = ("importance", f"{net}:sized", "--data", tiny_npz, "--by", by, *FEW, "-o", out)
    code, answer, err = said(*command)
    assert code == 0, err
    result = answer["result"]
    total = sum(one["value"] for one in result["players"])
    assert total == pytest.approx(result["nobody"] - result["everybody"], abs=1e-5)
    assert result["draws"] == 3
    assert all(one["low"] <= one["value"] <= one["high"] for one in result["players"])
    assert store.read_record(out)["result"] == result
    assert not list(tmp_path.glob(".worth*"))
    layers = {one["layer"] for one in result["players"]}
    assert (len(result["players"]) == len(layers)) == (by == "layer")
    assert said(*command)[1]["result"] == result


def test_it_is_said_in_a_table(
    net: Path, tiny_npz: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["importance", f"{net}:sized", "--data", str(tiny_npz), *FEW]) == 0
    shown = capfd.readouterr().out
    assert "body.0" in shown
    assert "3 pairs of permutations" in shown


@pytest.mark.parametrize(
    ("more", "named"), [(("-o", "worth.txt"), ".json"), (("--by", "link"), "--by")]
)
def test_what_cannot_be_is_refused(
    said: Said, net: Path, tiny_npz: Path, more: tuple[str, ...], named: str
) -> None:
    code, answer, _ = said("importance", f"{net}:sized", "--data", tiny_npz, *more)
    assert code != 0
    assert named in answer["error"]
