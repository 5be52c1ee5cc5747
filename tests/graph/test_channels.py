"""Which channels belong together, in networks of every structure."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.graph.channels.atoms import Atoms
from edgewise.graph.channels.groups import ChannelGroup, channel_groups
from edgewise.graph.channels.layout import Layout, reshaped
from edgewise.graph.channels.rules import RULES
from edgewise.graph.network import Network, operation

WHOLE = (
    "excited", "gated", "parted", "dense", "features", "groups", "multiplied", "transposed",
    "tokens", "constants", "twice", "moved",
)  # fmt: skip
LAYERS = {"input", "output", "conv2d", "linear", "conv_transpose2d"}


def one(network: Network, name: str) -> ChannelGroup:
    return next(group for group in channel_groups(network) if group.name == name)


def roles(group: ChannelGroup) -> set[tuple[str, str]]:
    return {(member.layer, member.role) for member in group.members}


def channels(group: ChannelGroup, layer: str, role: str) -> tuple[tuple[int, ...], ...]:
    return next(m.channels for m in group.members if (m.layer, m.role) == (layer, role))


def assert_whole(network: Network) -> None:
    """Every channel that a layer makes is in one group, at one position."""
    groups = channel_groups(network)
    assert len({group.name for group in groups}) == len(groups)
    made: dict[str, list[int]] = {}
    for group in groups:
        assert group.members[0].role == "makes"
        for member in group.members:
            assert len(member.channels) == group.size
            if member.role == "makes":
                made.setdefault(member.layer, []).extend(sum(member.channels, ()))
    for node, layer in network.layers():
        if str(node.target) in made:
            count = node.meta["shape"][-1 if layer.form.kind == "linear" else 1]
            assert sorted(made[str(node.target)]) == list(range(count))


def test_every_channel_is_in_one_group(tiny_network: Network) -> None:
    assert_whole(tiny_network)


def test_every_channel_of_every_structure_is_in_one_group(structured: Network) -> None:
    assert_whole(structured)


def test_what_reaches_the_output_stays(structured: Network) -> None:
    reasons = {group.name: group.reason for group in channel_groups(structured)}
    assert list(reasons.values())[-1] == "they are the network's output"


def test_a_sum_joins_all_that_make_it(captured: Callable[[str], Network]) -> None:
    assert roles(one(captured("residual"), "stem")) == {
        ("stem", "makes"), ("two_0", "makes"), ("one_0", "reads"), ("head", "reads"),
    }  # fmt: skip
    assert roles(one(captured("residual"), "one_0")) == {("one_0", "makes"), ("two_0", "reads")}


def test_a_batch_norm_alone_and_depthwise_layers_pass_channels_on(
    captured: Callable[[str], Network], structure: Callable[[str], Network]
) -> None:
    assert ("batch_norm", "passes") in roles(one(captured("concat"), "first"))
    multiplied = one(structure("multiplied"), "0")
    assert channels(multiplied, "2", "passes") == ((0, 1), (2, 3), (4, 5), (6, 7))
    assert channels(multiplied, "5", "reads") == ((0, 1), (2, 3), (4, 5), (6, 7))


def test_a_concatenation_moves_what_is_read(captured: Callable[[str], Network]) -> None:
    assert channels(one(captured("concat"), "left"), "last", "reads") == ((0,), (1,), (2,))
    assert channels(one(captured("concat"), "right"), "last", "reads") == ((3,), (4,), (5,))


def test_a_flattened_channel_is_read_at_every_position(structure: Callable[[str], Network]) -> None:
    read = channels(one(structure("features"), "0"), "3", "reads")
    assert read == tuple(tuple(range(36 * c, 36 * (c + 1))) for c in range(6))


def test_a_gate_ties_its_layer_to_what_it_gates(structure: Callable[[str], Network]) -> None:
    assert roles(one(structure("excited"), "one")) == {
        ("one", "makes"), ("up", "makes"), ("down", "reads"), ("head_3", "reads"),
    }  # fmt: skip
    # Two halves of one layer, multiplied.
    assert channels(one(structure("gated"), "one"), "one", "makes") == tuple(
        (c, c + 4) for c in range(4)
    )


def test_groups_of_a_layer_stay_of_equal_size(structure: Callable[[str], Network]) -> None:
    between = one(structure("groups"), "2")
    assert channels(between, "2", "makes") == ((0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11))
    assert channels(between, "5", "reads") == ((0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11))


def test_two_calls_of_one_layer_are_cut_alike(structure: Callable[[str], Network]) -> None:
    makers = {layer for layer, role in roles(one(structure("twice"), "one")) if role == "makes"}
    assert len(makers) == 3


def test_parts_of_a_layer_that_are_read_apart_are_groups_of_their_own(
    structure: Callable[[str], Network],
) -> None:
    first = channels(one(structure("parted"), "one#1"), "one", "makes")
    second = channels(one(structure("parted"), "one#2"), "one", "makes")
    assert (first, second) == (((0,), (1,)), ((2,), (3,), (4,)))


REASONS: Mapping[tuple[str, str], str] = {
    ("with images", "one"): "they are the network's input",
    ("shuffled", "one"): "view at 'view' takes channels apart",
    ("looked at", "one"): "mean at 'mean' reduces over channels",
    ("looked at", "place"): "mul at 'mul' spreads one channel over all others",
    ("odd", "one"): "softmax at 'softmax' is no operation that channels are followed through",
    ("odd", "two"): "slice at 'slice_2' takes every so many channels",
    ("odd", "four"): "group_norm at 'group_norm' is no operation",
    ("odd", "three"): "select at 'select' takes one channel out",
}


@pytest.mark.parametrize(("name", "group"), REASONS)
def test_what_must_stay_says_why(
    name: str, group: str, structure: Callable[[str], Network]
) -> None:
    reason = one(structure(name), group).reason
    assert reason is not None
    assert reason.startswith(REASONS[name, group])


@pytest.mark.parametrize("name", WHOLE)
def test_an_operation_without_a_rule_stops_what_reaches_it(
    name: str, structure: Callable[[str], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = structure(name)
    kinds = {operation(network.module, node) for node in network.module.graph.nodes}
    for kind in kinds & RULES.keys() - LAYERS:
        with monkeypatch.context() as patch:
            patch.delitem(RULES, kind)
            reasons = [group.reason for group in channel_groups(network)]
        assert any(f"{kind} at" in str(reason) for reason in reasons), kind


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30),
       st.sets(st.integers(0, 19), max_size=3))  # fmt: skip
def test_joining_is_an_equivalence_and_reasons_reach_all(
    pairs: list[tuple[int, int]], stay: set[int]
) -> None:
    atoms = Atoms()
    atoms.new(20)
    for one, other in pairs:
        atoms.join(np.array([one]), np.array([other]))
        for atom in stay:
            atoms.keep(np.array([atom]), "why")
    reach = np.eye(20, dtype=bool)
    for one, other in pairs:
        reach[one, other] = reach[other, one] = True
    for _ in range(5):
        reach = reach @ reach
    for one in range(20):
        assert (atoms.reason(one) is not None) == (
            bool(pairs) and bool(reach[one, list(stay)].any())
        )
        assert [atoms.find(other) == atoms.find(one) for other in range(20)] == reach[one].tolist()


@given(st.data(), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_reshape_moves_labels_as_it_moves_values(data: st.DataObject, sizes: list[int]) -> None:
    axis = data.draw(st.integers(0, len(sizes) - 1))
    labels = np.arange(sizes[axis])
    shape = [1] * len(sizes)
    shape[axis] = -1
    values = np.broadcast_to(labels.reshape(shape), sizes)
    factors = [f for size in sizes for f in ([2, 2] if size == 4 else [size])]
    after: list[int] = []
    for factor in factors:
        merge = data.draw(st.booleans())
        if after and merge:
            after[-1] *= factor
        else:
            after.append(factor)
    found = reshaped(Layout(axis + 1, labels), (None, *sizes), (None, *after))
    moved = values.reshape(after)
    if found is not None:
        line = [1] * len(after)
        line[found.axis - 1] = -1
        assert (np.broadcast_to(found.labels.reshape(line), after) == moved).all()
    else:  # then labels differ along more than one axis, or there is but one
        differs = [bool((np.diff(moved, axis=i) != 0).any()) for i in range(len(after))]
        assert sum(differs) > 1 or sizes[axis] == 1
