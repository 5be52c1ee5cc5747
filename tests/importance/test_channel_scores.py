"""Scores of channels against enumeration; widths against budgets; means against what is lost."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.data.preprocess import natural
from edgewise.errors import ModelError
from edgewise.graph.capture import capture
from edgewise.graph.channels.groups import ChannelGroup, channel_groups
from edgewise.graph.cost import layer_costs
from edgewise.graph.cut import cut
from edgewise.graph.network import Network
from edgewise.importance.channels import Scores, magnitude_scores, shapley_scores
from edgewise.importance.compensation import compensate, lost_means
from edgewise.importance.game import shapley_values
from edgewise.importance.widths import best, stride, uniform, within_macs


def cuttable(network: Network) -> tuple[ChannelGroup, ...]:
    return tuple(group for group in channel_groups(network) if group.reason is None)


def total(network: Network) -> int:
    return sum(layer.macs for layer in layer_costs(network))


def noise(count: int, seed: int = 0, shape: Sequence[int] = (3, 8, 8)) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def split(images: Tensor, size: int) -> tuple[Tensor, ...]:
    return tuple(images[first : first + size] for first in range(0, len(images), size))


class Reader(nn.Module):
    """One group of channels, read by a convolution of `groups` and by a linear layer."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3)
        self.two = nn.Sequential(
            nn.Conv2d(6, 4, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(4)
        )
        self.norm = nn.BatchNorm2d(4)
        self.head, self.other = nn.Linear(4, 3), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        one = torch.relu(self.one(images))
        two = torch.relu(self.two(one))
        return self.head(two.mean((2, 3))) + self.other(one.mean((2, 3)))  # type: ignore[no-any-return]


def reader(groups: int, seed: int) -> Network:
    torch.manual_seed(seed)
    module = Reader(groups).eval()
    norm = module.two[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.running_var.uniform_(0.2, 3.0)
    nn.init.uniform_(norm.weight, 0.2, 2.0)
    return capture(module, natural((3, 8, 8)), "reader")


def energies(parts: Tensor, centred: bool) -> np.ndarray:
    """Shapley values of channels by enumeration; parts: (channels, units, positions)."""
    if centred:
        parts = parts - parts.mean(2, keepdim=True)
    array = parts.detach().double().numpy()

    def worth(members: np.ndarray) -> float:
        whole, rest = array.sum(0), array[~members].sum(0)
        return float((whole**2).mean(1).sum() - (rest**2).mean(1).sum())

    return shapley_values(worth, len(array))


@settings(max_examples=8)
@given(groups=st.sampled_from([1, 2]), centred=st.booleans(), seed=st.integers(0, 99))
def test_a_channels_score_is_its_shapley_value_in_the_layers_that_read_it(
    groups: int, centred: bool, seed: int
) -> None:
    network, images = reader(groups, seed), noise(5, seed)
    (group, *_) = cuttable(network)
    batches = (images[:2], images[2:])
    found = shapley_scores(network, [group], batches, centred)[group.name]
    layers = {layer.form.path: layer for _, layer in network.layers()}
    inputs = torch.relu(layers["one"](images))
    wanted = np.zeros(6)
    for path, values in (("two.0", inputs), ("other", inputs.mean((2, 3)))):
        weight, _ = layers[path].folded()
        alone = []
        for channel in range(6):
            only = torch.zeros_like(values)
            only[:, channel] = values[:, channel]
            sums = layers[path].form.run(only, weight, None)
            alone.append(sums.movedim(1, 0).flatten(1))
        exact = energies(torch.stack(alone), centred)
        wanted += exact / exact.sum()
    members = {member.layer: member.channels for member in group.members}
    per_position = [sum(wanted[c] for c in position) for position in members["one"]]
    assert np.allclose(found.numpy(), per_position, rtol=1e-4, atol=1e-5)


def test_batches_do_not_matter(tiny_network: Network) -> None:
    images, groups = noise(8), cuttable(tiny_network)
    one = shapley_scores(tiny_network, groups, (images,))
    other = shapley_scores(tiny_network, groups, split(images, 3))
    for name, values in one.items():
        # Shares of one, from products in float32: errors are of the largest, not of each.
        assert torch.allclose(values, other[name], rtol=1e-4, atol=1e-5)


def test_a_channel_that_is_never_read_is_worth_nothing() -> None:
    network = reader(1, 0)
    (group, *_) = cuttable(network)
    layers = {layer.form.path: layer for _, layer in network.layers()}
    with torch.no_grad():
        layers["two.0"].weight[:, 2] = 0
        layers["other"].weight[:, 2] = 0
    scores = shapley_scores(network, [group], (noise(4),))[group.name]
    assert scores[2] == 0
    assert int(scores.abs().argmin()) == 2


def test_magnitude_is_the_norm_of_folded_weights(captured: Callable[[str], Network]) -> None:
    network = captured("plain")
    scores = magnitude_scores(network, cuttable(network))
    (_, first), *_ = network.layers()
    norms = first.folded()[0].double().flatten(1).norm(dim=1)
    assert torch.allclose(scores["body_0"], norms / norms.sum())


@pytest.mark.parametrize("groups", [1, 2])
def test_magnitude_of_a_transposed_convolution_is_by_its_outputs(groups: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 2, groups=groups), nn.Conv2d(6, 2, 1)
    )
    network = capture(module, natural((3, 8, 8)))
    group = cuttable(network)[1]
    found = magnitude_scores(network, [group])[group.name]
    layer = module[1]
    assert isinstance(layer, nn.ConvTranspose2d)
    impulse = torch.eye(4).view(4, 4, 1, 1)  # what each input alone gives, at every tap
    assert layer.bias is not None
    norms = layer(impulse).sub(layer.bias.view(1, -1, 1, 1)).square().sum((0, 2, 3)).sqrt()
    wanted = norms.view(groups, -1).sum(0) / norms.sum()
    assert torch.allclose(found, wanted.double(), atol=1e-6)


def test_layers_whose_links_have_no_moments_are_refused_by_name() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 2))
    network = capture(module, natural((3, 8, 8)))
    with pytest.raises(ModelError, match=r"'1' \(conv_transpose2d\)"):
        shapley_scores(network, cuttable(network), (noise(2),))


class Wide(nn.Module):
    """Widths that are multiples and some that are none, depthwise and grouped layers, a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.deep = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.one, self.two = nn.Conv2d(32, 44, 1), nn.Conv2d(44, 32, 3, padding=1)
        self.grouped = nn.Conv2d(32, 48, 3, groups=4)
        self.head = nn.Sequential(nn.Linear(48, 12), nn.ReLU(), nn.Linear(12, 4))

    def forward(self, images: Tensor) -> Tensor:
        stem = torch.relu(self.deep(self.stem(images)))
        both = stem + self.two(torch.relu(self.one(stem)))
        return self.head(self.grouped(torch.relu(both)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def wide() -> Network:
    torch.manual_seed(0)
    return capture(Wide().eval(), natural((3, 8, 8)), "wide")


def random_scores(groups: Sequence[ChannelGroup], seed: int) -> Scores:
    draw = torch.Generator().manual_seed(seed)
    return {g.name: torch.rand(g.size, generator=draw, dtype=torch.float64) for g in groups}


@settings(max_examples=15)
@given(share=st.floats(0.05, 0.8), multiple=st.sampled_from([1, 4, 8]), seed=st.integers(0, 999))
def test_a_budget_is_met_within_one_multiple(
    wide: Network, share: float, multiple: int, seed: int
) -> None:
    groups = cuttable(wide)
    scores = random_scores(groups, seed)
    counts = within_macs(wide, groups, scores, share, multiple)
    left, budget = total(cut(wide, best(scores, counts))), (1 - share) * total(wide)
    assert left <= budget
    # One multiple more of some group would have been too much: that which went last.
    steps = {group.name: stride(group, multiple) for group in groups}
    sizes = {group.name: group.size for group in groups}
    more = [
        total(cut(wide, best(scores, {**counts, name: min(sizes[name], count + steps[name])})))
        for name, count in counts.items()
        if count < sizes[name]
    ]
    assert max(more) > budget


@given(share=st.floats(0.01, 0.99), multiple=st.sampled_from([1, 4, 8, 16]))
def test_the_same_share_of_every_group_to_the_nearest_multiple(
    wide: Network, share: float, multiple: int
) -> None:
    groups = cuttable(wide)
    for group, count in zip(groups, uniform(groups, share, multiple).values(), strict=True):
        step = stride(group, multiple)
        assert 1 <= min(step, group.size) <= count <= group.size
        assert count % step == 0 or count == group.size
        exact = group.size * (1 - share)
        assert abs(count - exact) <= step / 2 or count in (step, group.size)


def test_widths_stay_multiples_where_they_are_wide(wide: Network) -> None:
    groups = {group.name: group for group in cuttable(wide)}
    assert {name: (group.size, stride(group, 8)) for name, group in groups.items()} == {
        "stem": (8, 2),  # 32 wide; read by a layer of four groups
        "one": (44, 8), "grouped": (12, 2), "head_0": (12, 1),
    }  # fmt: skip


def test_the_worst_channels_go_first(wide: Network) -> None:
    groups = cuttable(wide)
    scores = random_scores(groups, 3)
    for name, kept in best(scores, uniform(groups, 0.5, 8)).items():
        gone = [index for index in range(len(scores[name])) if index not in kept]
        assert scores[name][list(kept)].min() >= scores[name][gone].max()


def test_a_budget_that_nothing_meets_says_what_would(wide: Network) -> None:
    groups = cuttable(wide)
    with pytest.raises(ModelError, match=r"at most \d\d% of the MACs of wide .*, not 99%"):
        within_macs(wide, groups, random_scores(groups, 0), 0.99, 8)


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "concat", "leaky"])
def test_compensation_keeps_the_mean_of_what_reads(
    name: str, captured: Callable[[str], Network]
) -> None:
    """One group at a time: then what its readers read is otherwise as it was."""
    network, images = captured(name), noise(6, 4)
    for group in cuttable(network):
        choice = {group.name: tuple(range(1, group.size))}
        smaller = cut(network, choice)
        compensate(smaller, lost_means(network, choice, split(images, 4)))
        readers = {member.path for member in group.members if member.role == "reads"}
        before, after = outputs(network, images), outputs(smaller, images)
        first = next(path for path in before if path in readers)
        assert torch.allclose(after[first], before[first], atol=1e-4)


@torch.no_grad()
def outputs(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Means of what every layer gives; of outputs that are kept, by the caller's choice all."""
    found: dict[str, Tensor] = {}
    made = network.copy()
    for _, layer in made.layers():

        def see(_: nn.Module, __: object, result: Tensor, path: str = layer.form.path) -> None:
            axis = 1
            found[path] = result.movedim(axis, 0).flatten(1).mean(1)

        layer.register_forward_hook(see)
    made(images)
    return found


def test_the_network_is_not_touched_by_looking(tiny_network: Network) -> None:
    before = {name: value.clone() for name, value in tiny_network.module.state_dict().items()}
    groups = cuttable(tiny_network)
    shapley_scores(tiny_network, groups, (noise(2),))
    choice = {group.name: (0,) for group in groups}
    smaller = cut(tiny_network, choice)
    compensate(smaller, lost_means(tiny_network, choice, (noise(2),)))
    for name, value in tiny_network.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(m._forward_pre_hooks for m in tiny_network.module.modules())
