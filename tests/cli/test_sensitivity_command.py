import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from edgewise import store
from edgewise.cli.keep_float import kept_float
from edgewise.cli.main import main
from edgewise.cli.sensitivity import parse_bits, parse_regions
from edgewise.errors import StorageError, UsageError
from edgewise.quant.scheme import Scheme

Said = Callable[..., tuple[int, Any, str]]
FEW = ("--bits", "3,3", "--images", "8")


@pytest.fixture
def ranking(said: Said, net: Path, tiny_npz: Path, tmp_path: Path) -> Path:
    path = tmp_path / "ranking.json"
    code, _, err = said("sensitivity", f"{net}:sized", "--data", tiny_npz, *FEW, "-o", path)
    assert code == 0, err
    return path


def test_the_record_and_the_answer_are_one_result_of_all_measures(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out/ranking.json"
    code, answer, err = said("sensitivity", f"{net}:sized", "--data", tiny_npz, *FEW, "-o", path,
                             "--plot", tmp_path / "ranking.svg")  # fmt: skip
    assert code == 0, err
    result = answer["result"]
    record = store.read_record(path)
    assert record["kind"] == "ranking"
    assert record["result"] == result
    assert record["request"]["images"] == 8
    assert set(record["inputs"]) > set(result["inputs"])
    assert [part["name"] for part in result["parts"]] == ["body.0", "head"]
    for part in result["parts"]:
        assert {"change", "alone_sqnr_db", "accumulated_sqnr_db", "fit"} <= set(part)
    assert sorted(result["keep_float"]) == [["body.0"], ["head"]]
    assert (result["weight_bits"], result["activation_bits"]) == (3, 3)
    ElementTree.parse(tmp_path / "ranking.svg")


def test_regions_are_named_on_the_command_line_and_drawn(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    code, answer, err = said("sensitivity", f"{net}:sized", "--data", tiny_npz, *FEW, "--by",
                             "region", "--region", "trunk=body*", "--plot",
                             tmp_path / "ranking.png")  # fmt: skip
    assert code == 0, err
    assert [part["name"] for part in answer["result"]["parts"]] == ["trunk", "(rest)"]
    assert sorted(answer["result"]["keep_float"]) == [["body*"], ["head"]]
    with Image.open(tmp_path / "ranking.png") as image:
        assert image.width > 500


def test_the_terminal_shows_the_worst_on_top_and_what_to_know(
    net: Path, tiny_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "r.json"
    arguments = ["sensitivity", f"{net}:sized", "--data", str(tiny_npz), *FEW, "-o", str(out)]
    assert main(arguments) == 0
    shown, _ = capsys.readouterr()
    kept = store.read_record(out)["result"]["keep_float"]
    lines = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert [name for name in lines if name in ("body.0", "head")] == [globs[0] for globs in kept]
    assert "all together" in shown
    assert "split validation" in " ".join(shown.split())


def test_the_worst_stay_in_float(
    said: Said, net: Path, tiny_npz: Path, ranking: Path, tmp_path: Path
) -> None:
    worst = store.read_record(ranking)["result"]["keep_float"][0][0]
    code, answer, err = said("compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8",
                             "--target", "onnx", "--keep-float", f"{ranking}:1", "--test-images",
                             "4", "-o", tmp_path / "out")  # fmt: skip
    assert code == 0, err
    (_, made) = answer["result"]["variants"]
    (step,) = (step for step in made["recipe"]["steps"] if step["step"] == "quantize")
    assert step["keep_float"] == [worst]
    code, again, _ = said("sensitivity", f"{net}:sized", "--data", tiny_npz, *FEW, "--keep-float",
                          f"{ranking}:1")  # fmt: skip
    assert code == 0
    assert worst not in [part["name"] for part in again["result"]["parts"]]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ("{ranking}", 2, "does not say how many"),
        ("{ranking}:0", 2, "choose 1 to 2"),
        ("{ranking}:3", 2, "ranks 2 parts"),
        ("{ranking}:2", 5, "no layer is left"),
        ("absent.json:1", 9, "does not exist"),
        ("{other}:1", 9, "holds no ranking"),
        ("{list}:1", 9, "holds no ranking"),
        ("{changed}:1", 9, "changed after it was written"),
    ],
)
def test_what_is_no_ranking_is_said(
    said: Said, net: Path, tiny_npz: Path, ranking: Path, tmp_path: Path, given: str, code: int,
    text: str,
) -> None:  # fmt: skip
    stored = json.loads(ranking.read_text())
    (tmp_path / "other.json").write_text(json.dumps({"result": {"keep_float": ["head"]}}))
    (tmp_path / "list.json").write_text("[1]")
    stored["result"]["keep_float"].reverse()
    (tmp_path / "changed.json").write_text(json.dumps(stored))
    places = {name: tmp_path / f"{name}.json" for name in ("ranking", "other", "list", "changed")}
    out = tmp_path / "results/out"
    got, answer, err = said("compress", f"{net}:sized", "--data", tiny_npz, "--recipe", "int8",
                            "--target", "onnx", "--keep-float", given.format(**places),
                            "-o", out)  # fmt: skip
    assert got == answer["exit_code"] == code
    assert text in answer["error"]
    assert "Traceback" not in err
    assert not out.exists()


def test_a_ranking_serves_the_network_that_was_ranked_alone(
    said: Said, net: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    _, answer, _ = said("sensitivity", f"{net}:sized", "--data", tiny_npz, *FEW)
    path, inputs = tmp_path / "said.json", answer["result"]["inputs"]
    path.write_text(json.dumps(answer))  # what --json printed serves too
    first, second = answer["result"]["keep_float"]
    assert inputs
    assert kept_float(("a.*", f"{path}:1", "b"), inputs) == ("a.*", *first, "b")
    assert kept_float((f"{path}:2",), inputs) == (*first, *second)
    with pytest.raises(UsageError, match="ranks another network"):
        kept_float((f"{path}:1",), {**inputs, "weights": "0" * 64})
    answer["result"]["keep_float"] = [[]]
    path.write_text(json.dumps(answer))
    with pytest.raises(StorageError, match="holds no ranking"):
        kept_float((f"{path}:1",), inputs)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--bits", "8"], 2, "--bits is weights,activations"),
        (["--bits", "8,x"], 2, "--bits is weights,activations"),
        (["--bits", "5,8"], 5, "5 bits are not offered"),
        (["--by", "region"], 2, "--region NAME=GLOB"),
        (["--by", "block"], 2, "--by"),
        (["--region", "head"], 2, "--region is NAME=GLOB"),
        (["--images", "0"], 2, "--images"),
        (["--plot", "a.pdf"], 2, ".svg or .png"),
        (["-o", "ranking"], 2, "name it .json"),
        (["--target", "none"], 2, "onnx"),
        (["--data", "absent.npz"], 3, "does not exist"),
        (["--keep-float", "*"], 5, "no layer is left"),
        (["--input-shape", "3,9,9"], 2, "leave the option away"),
    ],
)
def test_what_cannot_be_ranked_is_said(
    said: Said, net: Path, tiny_npz: Path, arguments: list[str], code: int, text: str
) -> None:
    data = [] if "--data" in arguments else ["--data", tiny_npz]
    got, answer, err = said("sensitivity", f"{net}:sized", *data, *arguments)
    assert got == answer["exit_code"] == code, answer
    assert text in answer["error"]
    assert "Traceback" not in err


def test_bits_and_regions_are_read_as_written() -> None:
    assert parse_bits("4, 8") == Scheme(4, 8)
    assert parse_regions(("a=x.*,y", "b=z", "a=w")) == {"a": ("x.*", "y", "w"), "b": ("z",)}
    for wrong in ("=x", "a=", "a=,", "a"):
        with pytest.raises(UsageError):
            parse_regions((wrong,))
