"""A cut network computes what the whole one does when layers read zero in the removed places."""

from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from edgewise.errors import ModelError, UsageError
from edgewise.graph.channels.groups import channel_groups
from edgewise.graph.channels.masks import Choice
from edgewise.graph.cost import layer_costs
from edgewise.graph.cut import cut, cut_by, masked
from edgewise.graph.network import Network
from edgewise.graph.plan import Plan

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def drawn(network: Network, data: st.DataObject) -> dict[str, tuple[int, ...]]:
    return {
        group.name: tuple(data.draw(st.sets(st.integers(0, group.size - 1), min_size=1)))
        for group in channel_groups(network)
        if group.reason is None
    }


def halves(network: Network) -> dict[str, tuple[int, ...]]:
    return {
        group.name: tuple(range(0, group.size, 2))
        for group in channel_groups(network)
        if group.reason is None
    }


@torch.no_grad()
def assert_alike(one: Network, other: Network) -> None:
    truth = other(IMAGES)
    assert torch.allclose(one(IMAGES), truth, rtol=1e-5, atol=1e-5 * float(truth.abs().max()))


class Shapes(fx.Interpreter):
    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.meta["shape"] is not None:
            shape = n.meta["shape"]
            assert tuple(result.shape)[1:] == shape[1:], n
            assert shape[0] in (None, len(result)), n
        return result


def assert_cut_is_masked(network: Network, choice: Choice) -> None:
    smaller, whole = cut(network, choice), masked(network, choice)
    assert_alike(smaller, whole)
    with torch.no_grad():
        Shapes(smaller.module).run(IMAGES)
        counter = FlopCounterMode(display=False)
        with counter:
            smaller(IMAGES[:1])
    assert 2 * sum(layer.macs for layer in layer_costs(smaller)) == counter.get_total_flops()
    for plan in smaller.cuts:
        again = cut_by(network, Plan.from_json(plan.to_json()))
        assert again.module.code == smaller.module.code
        with torch.no_grad():
            assert torch.equal(again(IMAGES), smaller(IMAGES))


@settings(max_examples=4)
@given(data=st.data())
def test_cut_is_masked_in_tiny_networks(
    tiny_name: str, captured: Callable[[str], Network], data: st.DataObject
) -> None:
    assert_cut_is_masked(captured(tiny_name), drawn(captured(tiny_name), data))


@settings(max_examples=4)
@given(data=st.data())
def test_cut_is_masked_in_every_structure(structured: Network, data: st.DataObject) -> None:
    assert_cut_is_masked(structured, drawn(structured, data))


# Networks in which what is zero stays zero up to the layers that read it.
ZERO: tuple[str, ...] = ("plain", "residual", "depthwise", "leaky")


@pytest.mark.parametrize("name", ZERO)
def test_cut_is_zeroing_the_layers_that_make_the_channels(
    name: str, captured: Callable[[str], Network], make_tiny: Callable[[str], nn.Module]
) -> None:
    """By the layers' own parameters: no mask is involved."""
    network = captured(name)
    choice = halves(network)
    zeroed = captured_copy(network)
    for group in channel_groups(network):
        gone = set(range(group.size)) - set(choice.get(group.name, range(group.size)))
        for member in group.members:
            if member.role != "reads":
                rows = [c for position in gone for c in member.channels[position]]
                zero(zeroed.module.get_submodule(member.layer), rows)
    assert_alike(cut(network, choice), zeroed)


def captured_copy(network: Network) -> Network:
    made = network.copy()
    for parameters in made.module.modules():
        for name, value in list(parameters._parameters.items()):
            if value is not None:
                parameters._parameters[name] = nn.Parameter(value.detach().clone())
        for name, buffer in list(parameters._buffers.items()):
            if buffer is not None:
                parameters._buffers[name] = buffer.clone()
    return made


@torch.no_grad()
def zero(module: nn.Module, rows: list[int]) -> None:
    for part in module.modules():
        for name, value in (*part.named_parameters(recurse=False),
                            *part.named_buffers(recurse=False)):  # fmt: skip
            if value.ndim and name != "running_var":
                value[rows] = 0


def test_the_network_given_and_its_parameters_stay(structured: Network) -> None:
    before = {name: value.clone() for name, value in structured.module.state_dict().items()}
    code = structured.module.code
    choice = halves(structured)
    cut(structured, choice)
    masked(structured, choice)
    after = structured.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert structured.module.code == code


def test_keeping_all_is_the_network_itself(structured: Network) -> None:
    whole = {g.name: range(g.size) for g in channel_groups(structured) if g.reason is None}
    for choice in ({}, whole):
        same = cut(structured, choice)
        assert same.cuts == ()
        assert [p.data_ptr() for p in same.module.parameters()] == [
            p.data_ptr() for p in structured.module.parameters()
        ]


def test_the_order_of_what_is_kept_does_not_matter(structured: Network) -> None:
    one = halves(structured)
    other = {name: kept[::-1] for name, kept in one.items()}
    with torch.no_grad():
        assert torch.equal(cut(structured, one)(IMAGES), cut(structured, other)(IMAGES))


@settings(max_examples=3)
@given(data=st.data())
def test_cutting_twice_is_two_plans(structured: Network, data: st.DataObject) -> None:
    once = cut(structured, drawn(structured, data))
    twice = cut(once, drawn(once, data))
    again = structured
    for plan in twice.cuts:
        again = cut_by(again, plan)
    assert again.cuts == twice.cuts
    with torch.no_grad():
        assert torch.equal(again(IMAGES), twice(IMAGES))


def test_layers_go_on_sharing_their_weights(structure: Callable[[str], Network]) -> None:
    smaller = cut(structure("twice"), {"one": (0, 2, 3)})
    same = [layer for _, layer in smaller.layers() if layer.form.path == "same"]
    assert same[0].weight is same[1].weight
    assert same[0].weight.shape[:2] == (3, 3)


def test_statistics_of_batch_norm_go_with_their_channels(
    captured: Callable[[str], Network],
) -> None:
    network = captured("plain")
    (_, layer), *_ = cut(network, {"body_0": (1, 4)}).layers()
    (_, whole), *_ = network.layers()
    assert layer.batch_norm is not None
    assert whole.batch_norm is not None
    for name, value in layer.batch_norm.state_dict().items():
        other = whole.batch_norm.state_dict()[name]
        assert torch.equal(value, other[[1, 4]] if value.ndim else other)


REFUSED: Mapping[str, tuple[str, Choice, str]] = {
    "unknown": ("plain", {"body": (0,)}, "no group of channels 'body'; it has body_0, body_3,"),
    "output": ("plain", {"head_3": (0,)}, "'head_3' cannot be removed: they are the network's ou"),
    "nothing": ("plain", {"body_0": ()}, "of the 6 channels of 'body_0' at least one is kept"),
    "beyond": ("plain", {"body_0": (6,)}, "of the 6 channels"),
    "negative": ("plain", {"body_0": (-1,)}, "of the 6 channels"),
    "twice": ("plain", {"body_0": (1, 1)}, "each named once"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_choice_that_cannot_be_is_refused(case: str, captured: Callable[[str], Network]) -> None:
    name, choice, match = REFUSED[case]
    for act in (cut, masked):
        with pytest.raises(UsageError, match=match):
            act(captured(name), choice)


GOOD = {
    "body_0": {"outputs": [0, 2], "inputs": [0, 1, 2], "shape": [2, 3, 3, 3]},
    "body_3": {"outputs": [0, 1, 2, 3, 4], "inputs": [0, 2], "shape": [5, 2, 3, 3]},
}


def changed(layer: str, **more: object) -> dict[str, object]:
    return {**GOOD, layer: {**GOOD.get(layer, {}), **more}}


BAD: Mapping[str, tuple[object, str]] = {
    "empty": ({}, "there are none"),
    "no object": ([1], "there are none"),
    "half a layer": ({"body_0": {"outputs": [0]}}, "says of 'body_0' something else than"),
    "no list": (changed("body_0", outputs=5), "outputs of 'body_0' .* no list of numbers"),
    "text": (changed("body_0", outputs="01"), "no list of numbers"),
    "truth": (changed("body_0", outputs=[True]), "no list of numbers"),
    "negative": (changed("body_0", outputs=[-1, 2]), "no list of numbers"),
    "falling": (changed("body_0", outputs=[2, 0]), "'body_0' .* do not rise"),
    "none kept": (changed("body_0", outputs=[]), "do not rise"),
    "another network": ({"conv": GOOD["body_0"]}, "names 'conv', and the network has no such"),
    "beyond": (changed("body_0", outputs=[0, 9]), "'body_0' has 6 outputs, and .* number 9"),
    "inputs beyond": (changed("body_3", inputs=[0, 9]), "'body_3' has 6 inputs"),
    "cut short": ({"body_0": GOOD["body_0"]}, "contradicts itself at 'body_3'"),
    "other inputs": (changed("body_3", inputs=[0, 3]), "contradicts itself at 'body_3'"),
    "other shape": (changed("body_0", shape=[2, 3, 5, 5]), "contradicts itself at 'body_0'"),
    "output": ({**GOOD, "head_3": {"outputs": [0], "inputs": [0], "shape": [1, 7]}},
               "removes channels although they are the network's output"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_plan_that_does_not_fit_is_refused(case: str, captured: Callable[[str], Network]) -> None:
    value, match = BAD[case]
    with pytest.raises(ModelError, match=match):
        cut_by(captured("plain"), Plan.from_json(value))


def test_a_plan_that_fits_is_taken(captured: Callable[[str], Network]) -> None:
    made = cut_by(captured("plain"), Plan.from_json(GOOD))
    assert made.cuts == (Plan.from_json(GOOD),)


def test_a_plan_that_leaves_nothing_of_a_part_is_refused(
    structure: Callable[[str], Network],
) -> None:
    network = structure("parted")
    kept = {"outputs": [2, 3, 4, 5, 6, 7, 8], "inputs": [0, 1, 2], "shape": [7, 3, 1, 1]}
    with pytest.raises(ModelError, match="leaves nothing of"):
        cut_by(network, Plan.from_json({"one": kept}))
