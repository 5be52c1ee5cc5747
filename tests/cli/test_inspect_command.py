from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from edgewise.cli.main import main
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.cut import cut
from edgewise.graph.network import Network
from edgewise.models.builtin import build
from edgewise.models.darknet import write_darknet
from edgewise.pipeline.network import save_network
from edgewise.presets import FP16
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Compressed, Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget

Said = Callable[..., tuple[int, Any, str]]


def test_the_built_in_network_layer_by_layer(said: Said) -> None:
    code, answer, err = said("inspect", "vgg16")
    assert (code, err) == (0, "")
    assert (answer["schema"], answer["command"]) == ("edgewise/1", "inspect")
    layers = answer["result"]["layers"]
    assert len(layers) == 14
    assert layers[0]["region"] == "backbone"
    assert layers[-1]["region"] == "head"
    assert layers[0]["macs"] == 16 * 3 * 9 * 32 * 32


def test_options_and_shapes_of_a_network(said: Said, net: Path) -> None:
    _, answer, _ = said("inspect", "vgg16", "--model-option", "width=0.1", "--model-option",
                        "classes=3")  # fmt: skip
    assert answer["result"]["layers"][-1]["output_shape"] == [3]
    _, made, _ = said("inspect", f"{net}:make", "--input-shape", "3,10,12")
    assert made["result"]["layers"][0]["output_shape"] == [6, 10, 12]
    _, sized, _ = said("inspect", f"{net}:sized")
    assert sized["result"]["layers"][0]["output_shape"] == [6, 8, 8]


def test_the_table_names_every_layer(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{net}:sized"]) == 0
    out = capsys.readouterr().out
    assert "body.0" in out
    assert "2 layers" in out


def test_regions_have_their_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "vgg16", "--model-option", "width=0.1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = {row[1]: row[3] for row in rows if len(row) > 3 and row[1] in ("backbone", "head")}
    assert shown == {"backbone": "13", "head": "1"}


def test_weights_of_darknet(said: Said, tmp_path: Path) -> None:
    path = tmp_path / "tiny.weights"
    write_darknet(path, build("yolov3-tiny", {"width": 0.05}))
    asked = ("inspect", "yolov3-tiny", "--weights", path)
    code, answer, _ = said(*asked, "--model-option", "width=0.05")
    assert code == 0
    assert answer["result"]["layers"][0]["output_shape"] == [1, 416, 416]
    assert {layer["region"] for layer in answer["result"]["layers"]} == {"backbone", "neck", "head"}
    code, answer, _ = said(*asked)
    assert code == 4
    assert "this network takes 35434956" in answer["error"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["vgg"], 2, "is no MODEL"),
        (["{net}:make"], 2, "give --input-shape"),
        (["{net}:none"], 4, "has no function"),
        (["{net}:make", "--input-shape", "3,8"], 2, "channels,height,width"),
        (["{net}:make", "--input-shape", "3,8,0"], 2, "channels,height,width"),
        (["{net}:make", "--input-shape", "1,8,8"], 4, "failed on an input of 1x8x8"),
        (["{net}:make", "--weights", "absent.pt"], 4, "do not exist"),
        (["{net}:make", "--model-option", "width=1"], 2, "for built-in networks"),
        (["vgg16", "--model-option", "width"], 2, "NAME=VALUE"),
        (["vgg16", "--model-option", "depth=3"], 2, "does not take"),
        (["vgg16", "--model-option", "width=NaN"], 2, "does not take"),
        (["absent.onnx"], 4, "not an ONNX model"),
        (["{net}.onnx"], 4, "not an ONNX model"),
    ],
)  # fmt: skip
def test_what_cannot_be_inspected_is_said(
    said: Said, net: Path, arguments: list[str], code: int, text: str
) -> None:
    net.with_name("net.py.onnx").write_bytes(b"no model")
    got, answer, err = said("inspect", *(argument.format(net=net) for argument in arguments))
    assert got == answer["exit_code"] == code
    assert text in answer["error"]
    assert "Traceback" not in err
    assert err.count("\n") == 1


@pytest.fixture
def artifacts(
    captured: Callable[[str], Network], quantized: Callable[[str], Compressed],
    tiny_images: torch.Tensor, tmp_path: Path,
) -> Path:  # fmt: skip
    quantized("plain").export(OnnxTarget(), tmp_path / "int8.onnx", tiny_images)
    FP16.apply(captured("plain")).export(OnnxTarget(), tmp_path / "fp16.onnx", tiny_images)
    return tmp_path


def test_an_artifact_says_how_each_layer_is_stored_and_run(said: Said, artifacts: Path) -> None:
    _, answer, _ = said("inspect", artifacts / "int8.onnx")
    layers = answer["result"]["layers"]
    assert [layer["stored"] for layer in layers] == ["int8"] * 4
    assert [layer["operator"] for layer in layers] == ["QLinearConv"] * 2 + ["QGemm"] * 2
    assert [layer["weights"] for layer in layers] == [162, 270, 35, 28]
    _, half, _ = said("inspect", artifacts / "fp16.onnx")
    assert {layer["stored"] for layer in half["result"]["layers"]} == {"float16"}
    for found, width, kind in ((layers, 1, "uint8"), (half["result"]["layers"], 2, "float")):
        assert [one["size_bytes"] for one in found] == [width * one["weights"] for one in found]
        assert {one["activations"] for one in found} == {kind}
    assert main(["inspect", str(artifacts / "int8.onnx")]) == 0


@pytest.mark.parametrize(
    ("weights", "stored", "per_byte"), [(4, "int4", 2), (3, "int4", 2), (2, "int2", 4)]
)
@pytest.mark.parametrize("activations", [8, 4, 3, 2])
def test_an_artifact_of_few_bits_says_how_few(
    said: Said, captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: torch.Tensor,
    tmp_path: Path, weights: int, stored: str, per_byte: int, activations: int,
) -> None:  # fmt: skip
    recipe = Recipe("narrow", (Fold(), Quantize(Scheme(weights, activations))))
    made = recipe.apply(captured("plain"), tiny_data.split("calibration"))
    made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    _, answer, _ = said("inspect", tmp_path / "m.onnx")
    layers = answer["result"]["layers"]
    assert {layer["stored"] for layer in layers} == {stored}
    assert [layer["size_bytes"] for layer in layers] == [
        -(-layer["weights"] // per_byte) for layer in layers
    ]
    assert {layer["operator"] for layer in layers} == {"QLinearConv", "QGemm"}
    # Images come in 8 bits, whatever the rest; the third layer reads codes that were pooled.
    kinds = [layer["activations"] for layer in layers]
    assert kinds == ["uint8", *[f"uint{activations}"] * 3]


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_artifact_is_said(said: Said, artifacts: Path, damage: str) -> None:
    path = artifacts / "int8.onnx"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-200], "empty": b"", "other": b"\x7fELF" + whole}[damage])
    code, answer, err = said("inspect", path)
    assert code == 4
    assert "not an ONNX model" in answer["error"]
    assert "Traceback" not in err


def test_an_artifact_of_others_may_name_nothing(said: Said, tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], np.ones(6))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "net.onnx")
    code, answer, _ = said("inspect", tmp_path / "net.onnx")
    assert code == 0
    (layer,) = answer["result"]["layers"]
    assert (layer["stored"], layer["weights"], layer["activations"]) == ("float", 6, "float")
    assert layer["size_bytes"] >= 24
    assert "Conv" in layer["operator"] or layer["operator"] == "unknown"


def test_a_network_that_has_lost_channels(said: Said, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"width": 0.0625}
    network = capture(build("vgg16", options), natural((3, 32, 32)), "vgg16")
    path = tmp_path / "pruned.safetensors"
    save_network(cut(network, {"features_0": (0, 3)}), path, {"name": "vgg16", "options": options})
    code, answer, err = said("inspect", "vgg16", "--weights", path)
    assert (code, err) == (0, "")
    first, second, *_ = answer["result"]["layers"]
    assert first["output_shape"] == [2, 32, 32]
    assert second["macs"] == 4 * 2 * 9 * 32 * 32
    path.write_bytes(path.read_bytes()[:-1])
    code, answer, _ = said("inspect", "vgg16", "--weights", path)
    assert code == 4
    assert "not whole safetensors" in answer["error"]
