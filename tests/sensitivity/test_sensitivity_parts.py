from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import UsageError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network, module_of
from edgewise.presets import INT8
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.recipe import Compressed
from edgewise.sensitivity.parts import REST, by_layer, by_region, parts


def test_every_integer_layer_is_a_part_with_quantizers_on_both_sides(tiny_int8: Compressed) -> None:
    module = tiny_int8.network.module
    layers = {
        layer.form.path: layer.weight_codes.numel()
        for node in module.graph.nodes
        if isinstance(layer := module_of(module, node), QuantizedLayer)
    }
    found = by_layer(tiny_int8.network)
    assert {part.name: part.parameters for part in found} == layers
    nodes = {node.name: node for node in module.graph.nodes}
    for part in found:
        assert part.layers == (part.name,)
        kinds = [type(module_of(module, nodes[name])) for name in part.nodes]
        assert kinds.count(QuantizedLayer) == 1
        assert kinds.count(FakeQuantize) == len(kinds) - 1 == 2


def test_a_region_is_the_union_of_its_layers(quantized: Callable[[str], Compressed]) -> None:
    network = quantized("plain").network
    layers = {part.name: part for part in by_layer(network)}
    regions = by_region(network)
    assert [(part.name, part.layers) for part in regions] == [
        ("body", ("body.0", "body.3")), ("head", ("head.1", "head.3")),
    ]  # fmt: skip
    for region in regions:
        inside = [layers[path] for path in region.layers]
        assert region.nodes == frozenset().union(*(part.nodes for part in inside))
        assert region.parameters == sum(part.parameters for part in inside)
        assert region.globs == network.regions[region.name]
    assert {part.region for part in layers.values()} == {"body", "head"}


def test_a_region_holds_sums_too_and_what_is_in_none_is_the_rest(
    quantized: Callable[[str], Compressed],
) -> None:
    network = replace(quantized("residual").network, regions={"skip": ("two*", "add*")})
    regions = {part.name: part for part in by_region(network)}
    assert {name: part.layers for name, part in regions.items()} == {
        "skip": ("two.0",), REST: ("stem", "one.0", "head"),
    }  # fmt: skip
    assert regions[REST].globs == ("stem", "one.0", "head")
    (two,) = (part for part in by_layer(network) if part.name == "two.0")
    assert two.nodes < regions["skip"].nodes


def test_layers_in_float_are_in_no_part(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    made = INT8.with_kept_float(("head",)).apply(captured("plain"), tiny_data.split("calibration"))
    assert [part.name for part in by_layer(made.network)] == ["body.0", "body.3"]
    assert [part.name for part in by_region(made.network)] == ["body"]


def test_without_regions_the_user_is_told_how_to_name_them(
    quantized: Callable[[str], Compressed],
) -> None:
    with pytest.raises(UsageError, match="--region NAME=GLOB"):
        parts(quantized("residual").network, "region")


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(torch.relu(self.conv(images))).mean((2, 3))  # type: ignore[no-any-return]


def test_a_layer_that_is_called_twice_is_one_part(tiny_data: Dataset) -> None:
    torch.manual_seed(0)
    network = capture(Twice(), natural((3, 8, 8)))
    made = INT8.apply(network, tiny_data.split("calibration")).network
    (part,) = by_layer(made)
    assert (part.name, part.parameters) == ("conv", 81)
    calls = [n for n in made.module.graph.nodes
             if isinstance(module_of(made.module, n), QuantizedLayer)]  # fmt: skip
    assert len(calls) == 2
    assert {node.name for node in calls} <= part.nodes
