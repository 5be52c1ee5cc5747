"""Regions by name, and what happens among layers that stay in float."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.errors import RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network, operation
from edgewise.graph.regions import covers, region_of
from edgewise.quant.assign import Assignment
from edgewise.quant.placement import Placement, place
from edgewise.quant.profiles import ONNX_RUNTIME
from edgewise.quant.scheme import INT8, Scheme

Captured = Callable[[str], Network]
W4A8 = Scheme(4, 8)
PARTS = ("body", "head", "body.0", "head.*", "*", "[bh]*")
REGIONS = st.dictionaries(
    st.sampled_from((*PARTS, "detector")),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=2).map(tuple),
    max_size=3,
)


def kept(placement: Placement) -> list[str]:
    return [str(node.meta["path"]) for node in placement.kept_float]


def with_regions(captured: Captured, **regions: tuple[str, ...]) -> Network:
    return replace(captured("plain"), regions=regions)


def test_a_regions_name_keeps_its_layers_whatever_they_are_called(captured: Captured) -> None:
    network = with_regions(captured, stem=("body.0",), detector=("head*",))
    assert kept(place(network, ONNX_RUNTIME, ("detector",))) == ["head.1", "head.3"]
    assert kept(place(network, ONNX_RUNTIME, ("stem", "head.3"))) == ["body.0", "head.3"]


def test_a_region_comes_before_a_glob_of_the_same_letters(captured: Captured) -> None:
    network = with_regions(captured, head=("body.0",))
    assert kept(place(network, ONNX_RUNTIME, ("head",))) == ["body.0"]
    assert kept(place(network, ONNX_RUNTIME, ("head.*",))) == ["head.1", "head.3"]
    mixed = Assignment.of(INT8, "", ("head=w4a8",))
    schemes = mixed.layers(network, place(network, ONNX_RUNTIME))
    assert [str(node.meta["path"]) for node, one in schemes.items() if one == W4A8] == ["body.0"]


@given(regions=REGIONS, text=st.sampled_from((*PARTS, "detector")))
def test_a_region_means_exactly_the_layers_in_it(
    regions: dict[str, tuple[str, ...]], text: str, captured: Captured
) -> None:
    network = with_regions(captured, **regions)
    paths = [layer.form.path for _, layer in network.layers()]
    meant = [path for path in paths if covers(text, path, regions)]
    if text in regions:
        assert meant == [path for path in paths if region_of(path, regions) == text]
    assert [path for path in paths if covers(text, path, {})] == [
        path for path in paths if region_of(path, {"x": (text,)}) == "x"
    ]
    if meant:
        assert kept(place(network, ONNX_RUNTIME, (text,))) == meant


@pytest.mark.parametrize("text", ["neck", "head.9", ""])
def test_what_covers_nothing_is_refused_with_what_there_is(text: str, captured: Captured) -> None:
    with pytest.raises(RecipeError, match=f"is called '{text}'.*body, head; layers: body.0, body"):
        place(captured("plain"), ONNX_RUNTIME, (text,))
    assignment = Assignment.of(INT8, "", ("neck=w4a8",))
    placement = place(captured("plain"), ONNX_RUNTIME)
    with pytest.raises(RecipeError, match="regions: body, head"):
        assignment.layers(captured("plain"), placement)


class Mixed(nn.Module):
    """Float layers with their own activations, sums and pooling between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.one, self.two, self.three = (nn.Conv2d(4, 4, 1) for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        first = F.relu(self.first(images))
        one = F.leaky_relu(self.one(first))
        both = F.max_pool2d(F.relu(one + torch.sigmoid(self.two(one))), 2)
        return self.last(F.relu(self.three(both)))  # type: ignore[no-any-return]


def test_what_lies_among_float_layers_alone_stays_in_float() -> None:
    network = capture(Mixed(), natural((3, 8, 8)))
    placement = place(network, ONNX_RUNTIME, ("one", "two", "three"))
    groups = [(node.meta["path"], operation(network.module, node)) for node in placement.groups]
    assert [kind for _, kind in groups] == ["input", "relu", "relu", "conv2d"]
    assert [str(node.meta["path"]) for node in placement.layers] == ["first", "last"]


def test_a_sum_with_integers_on_one_side_is_one_of_integers() -> None:
    network = capture(Mixed(), natural((3, 8, 8)))
    placement = place(network, ONNX_RUNTIME, ("one", "three"))
    kinds = [operation(network.module, node) for node in placement.groups]
    assert kinds.count("sigmoid") == 1
    assert {"leaky_relu", "relu", "conv2d"} <= set(kinds)
