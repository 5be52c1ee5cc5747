import math
from typing import Any

import darknet_cfg
import pytest
import torch
from torch import Tensor, nn

from edgewise.errors import UsageError
from edgewise.graph.regions import matches, region_of
from edgewise.models.blocks import Block
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.darknet import InDarknetOrder
from edgewise.models.yolov3 import YOLOv3
from edgewise.models.yolov3_tiny import PoolInPlace, YOLOv3Tiny

NAMES = ("yolov3", "yolov3-tiny")


def on_no_device(name: str, **options: int) -> nn.Module:
    with torch.device("meta"):
        return build(name, options)


def found_convolutions(module: nn.Module, side: int) -> list[darknet_cfg.Convolution]:
    """What the module's convolutions are and give, in darknet's order."""
    sides: dict[nn.Module, int] = {}
    norms = [one.conv for one in module.modules() if isinstance(one, Block)]
    convs = [one for one in module.modules() if isinstance(one, nn.Conv2d)]
    for conv in convs:
        conv.register_forward_hook(lambda one, _, out: sides.update({one: out.shape[-1]}))
    module(torch.empty(1, 3, side, side, device="meta"))
    assert isinstance(module, InDarknetOrder)
    ordered = [one for part in module.darknet_order() for one in part.modules() if one in sides]
    assert len(ordered) == len(convs)
    for conv in convs:
        assert conv.kernel_size[0] == conv.kernel_size[1]
        assert conv.padding == (conv.kernel_size[0] // 2,) * 2
        assert (conv.groups, conv.dilation) == (1, (1, 1))
        assert (conv.bias is None) == (conv in norms)
    return [
        darknet_cfg.Convolution(
            one.in_channels, one.out_channels, one.kernel_size[0], one.stride[0], one in norms,
            sides[one],
        )
        for one in ordered
        if isinstance(one, nn.Conv2d)
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_convolution_is_that_of_darknets_configuration(name: str) -> None:
    module, expected = on_no_device(name), darknet_cfg.convolutions(darknet_cfg.CFGS[name])
    found = found_convolutions(module, 416)
    assert found == expected
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert parameters == sum(one.parameters for one in expected)
    assert sum(one.macs for one in found) == sum(one.macs for one in expected)


@pytest.mark.parametrize(
    ("name", "count", "giga_operations"),
    [("yolov3", 61_949_149, 65.86), ("yolov3-tiny", 8_852_366, 5.56)],
)
def test_for_the_classes_of_coco_it_is_as_large_as_published(
    name: str, count: int, giga_operations: float
) -> None:
    """Two operations to a multiplication: https://pjreddie.com/darknet/yolo."""
    module = on_no_device(name, classes=80)
    assert sum(parameter.numel() for parameter in module.parameters()) == count
    macs = sum(one.macs for one in found_convolutions(module, 416))
    assert 2 * macs / 1e9 == pytest.approx(giga_operations, abs=0.006)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sides", [(64, 96), (32, 32)], ids=str)
def test_maps_come_coarsest_first(name: str, sides: tuple[int, int]) -> None:
    anchors = [[[8, 8], [16, 8]]] * BUILT_IN[name].maps
    module = build(name, {"width": 0.05, "classes": 4, "anchors": anchors}).eval()
    with torch.no_grad():
        maps = module(torch.rand(2, 3, *sides))
    strides = (32, 16, 8)[: len(maps)]
    assert [tuple(each.shape) for each in maps] == [
        (2, 2 * (5 + 4), sides[0] // stride, sides[1] // stride) for stride in strides
    ]
    assert isinstance(maps, tuple)


@pytest.mark.parametrize("name", NAMES)
def test_regions_cover_every_layer_and_heads_are_what_leads_to_a_map(name: str) -> None:
    module = on_no_device(name)
    regions: Any = module.edgewise_regions
    layers = [path for path, one in module.named_modules() if isinstance(one, nn.Conv2d)]
    of = {path: region_of(path, regions) for path in layers}
    maps = len(list(darknet_cfg.anchors(darknet_cfg.CFGS[name])))
    counts = {region: list(of.values()).count(region) for region in regions}
    assert counts == {
        "backbone": 52 if name == "yolov3" else 7,
        "neck": 5 * 3 + 2 if name == "yolov3" else 2,
        "head": 2 * maps,
    }
    declared: Any = module.edgewise_outputs
    outputs = [path for path in layers if matches(path, declared)]
    assert outputs == [f"head.{number}.output" for number in range(maps)]
    assert all(module.get_submodule(path).bias is not None for path in outputs)


def test_the_network_that_trains_in_minutes() -> None:
    """Sizes of a width and depth that are known to learn."""
    module = YOLOv3(0.25, (1, 1, 2, 2, 1))
    sizes = [sum(p.numel() for p in part.parameters()) for part in module.children()]
    assert sizes == [935_000, 921_856, 421_793]


@pytest.mark.parametrize("classes", [1, 2, 20])
def test_training_starts_from_no_object_and_classes_alike(classes: int) -> None:
    module = YOLOv3(0.05, classes=classes)
    for head in module.head:
        output: Any = head.output
        biases = output.bias.view(3, 5 + classes)
        assert torch.equal(biases[:, 4], torch.full((3,), -5.0))
        start = -math.log(max(1, classes - 1))
        assert torch.allclose(biases[:, 5:], torch.tensor(start))


def test_width_keeps_one_channel_at_least() -> None:
    for module in (YOLOv3(1e-6), YOLOv3Tiny(1e-6)):
        inside = {one.conv.out_channels for one in module.modules() if isinstance(one, Block)}
        assert inside == {1}


@pytest.mark.parametrize(
    "options",
    [
        {"width": "wide"}, {"width": math.nan}, {"classes": 0}, {"classes": -1}, {"classes": 2.5},
        {"anchors": [[]] * 3}, {"repeats": (1, 2, 8, 8)}, {"repeats": (1, 2, 8, 8, 4, 1)},
        {"repeats": "12884"}, {"repeats": 3}, {"depth": 2},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="yolov3 does not take the options"):
        build("yolov3", {"width": 0.05, **options})


def test_batch_norm_is_darknets() -> None:
    for name in NAMES:
        norms = [m for m in on_no_device(name).modules() if isinstance(m, nn.BatchNorm2d)]
        assert {norm.eps for norm in norms} == {1e-5}
    assert BUILT_IN["yolov3"].input_shape == BUILT_IN["yolov3-tiny"].input_shape == (3, 416, 416)


def test_pooling_in_place_takes_right_and_lower_neighbours() -> None:
    images = -torch.rand(2, 3, 4, 5)  # all below zero: what is beyond the edge must not win
    expected = torch.empty_like(images)
    for row in range(4):
        for column in range(5):
            window: Tensor = images[:, :, row : row + 2, column : column + 2]
            expected[:, :, row, column] = window.amax((2, 3))
    assert torch.equal(PoolInPlace()(images), expected)
