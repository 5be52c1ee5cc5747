import json
from typing import Any

import pytest
import torch
from torch import nn

from edgewise.errors import UsageError
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.load import load_model
from edgewise.models.vgg import VGG16
from edgewise.models.weights import load_weights
from edgewise.store import digest_file, read_record


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_network_takes_its_input_in_any_batch(name: str) -> None:
    entry = BUILT_IN[name]
    module = build(name, {"width": 0.05}).eval()
    with torch.no_grad():
        outputs = module(torch.zeros(3, *entry.input_shape))
    if entry.learns == "objects":
        assert len(outputs) == entry.maps
        assert all(each.shape[0] == 3 and each.ndim == 4 for each in outputs)
        return
    values = 10 if entry.learns == "labels" else torch.Size(entry.input_shape).numel()
    assert outputs.shape == (3, values)


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 19}, {"width": "wide"}, {"width": None}, {"width": float("nan")},
        {"width": float("inf")}, {"classes": -1}, {"classes": 2.5}, {"in_channels": -3},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="vgg16 does not take the options"):
        build("vgg16", options)


def test_a_name_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="'vgg19'; known: vgg16"):
        build("vgg19", {})


def test_the_bundled_weights_are_small_and_what_their_record_says() -> None:
    path = BUILT_IN["vgg16"].weights
    assert path is not None
    assert path.stat().st_size < 4_000_000
    record = read_record(path.with_suffix(".json"))
    assert record["kind"] == "training"
    assert record["inputs"]["weights"] == digest_file(path)
    assert record["result"]["size_bytes"] == path.stat().st_size
    assert record["result"]["test_accuracy"] >= 0.93
    assert record["result"]["test_images"] == 10_000
    assert record["result"]["data"] == "fashion-mnist"
    stored = load_weights(path).model
    assert stored is not None
    assert stored["options"] == record["request"]["options"]
    module = load_model("vgg16").module
    assert sum(p.numel() for p in module.parameters()) == record["result"]["parameters"]
    assert json.dumps(record["result"]["curves"]).count("NaN") == 0


def test_the_bundled_detector_is_what_the_studys_record_says() -> None:
    path = BUILT_IN["yolov3"].weights
    assert path is not None
    assert path.stat().st_size < 6_000_000
    record = read_record(path.with_suffix(".json"))
    assert record["inputs"]["weights"] == digest_file(path)
    assert record["result"]["artifact"]["ap50"]["value"] >= 0.8
    assert record["request"]["settings"]["data"] == "composed-voc"
    loaded = load_model("yolov3")
    assert loaded.input_shape == (3, 160, 160)
    assert sum(p.numel() for p in loaded.module.parameters()) == record["result"]["parameters"]


def test_vgg_16_is_sixteen_less_the_two_layers_that_cifar_networks_leave_out() -> None:
    module = VGG16()
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert [conv.out_channels for conv in convolutions] == [
        64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512,
    ]  # fmt: skip
    assert sum(isinstance(m, nn.MaxPool2d) for m in module.modules()) == 5
    assert sum(isinstance(m, nn.BatchNorm2d) for m in module.modules()) == 13
    assert sum(p.numel() for p in module.parameters()) == 14_724_042


@pytest.mark.parametrize("batch_norm", [True, False])
def test_width_scales_every_layer_and_keeps_one_channel_at_least(batch_norm: bool) -> None:
    module = VGG16(width=0.001, classes=7, batch_norm=batch_norm, in_channels=1).eval()
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert {conv.out_channels for conv in convolutions} == {1}
    assert all((conv.bias is None) == batch_norm for conv in convolutions)
    with torch.no_grad():
        assert module(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
