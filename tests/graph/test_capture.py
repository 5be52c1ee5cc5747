"""Whatever a user's module is: the graph computes the same, or the refusal tests name the layer."""

import copy
import logging
import pickle
from collections.abc import Callable

import pytest
import torch
from own_forward import Own, conv
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.network import first_output, operation

CONTRACT = natural((3, 8, 8))


class Shared(nn.Module):
    """One convolution, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(F.relu(self.conv(images)))  # type: ignore[no-any-return]


class InPlace(nn.Module):
    """Changes its tensors, as many do to save memory."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        one = self.one(images)
        two = self.two(one)
        two += one
        two.relu_().mul_(2.0)
        two.clamp_(0, 3)
        flat = two.flatten(1)
        flat.sub_(0.5)
        return flat  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Tokens, a position, softmax: what is not of images."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 2, stride=2)
        self.place = nn.Parameter(torch.randn(1, 16, 4))
        self.norm = nn.LayerNorm(4)
        self.three = nn.Linear(4, 12)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.patches(images).flatten(2).transpose(1, 2) + self.place)
        query, key, value = self.three(tokens).chunk(3, -1)
        mixed = torch.softmax(query @ key.transpose(1, 2) / 2, -1) @ value
        return self.head(mixed.mean(1))  # type: ignore[no-any-return]


class Shuffle(nn.Module):
    """ShuffleNet's channel shuffle, with sizes taken from the tensor."""

    def forward(self, images: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        groups = images.view(count, 3, channels // 3, height, width)
        return groups.transpose(1, 2).contiguous().view(count, channels, height, width)


WORKS: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm1d after linear": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(192, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    ),
    "BatchNorm twice": lambda: nn.Sequential(conv(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)),
    "BatchNorm first": lambda: nn.Sequential(nn.BatchNorm2d(3), conv(3, 4, 3)),
    "conv1d": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3)),
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1, groups=1), nn.BatchNorm2d(4)
    ),
    "transposed, dilated, grouped": lambda: nn.ConvTranspose2d(3, 6, (2, 3), groups=3, dilation=2),
    "grouped, dilated": lambda: conv(3, 6, 3, groups=3, dilation=2, padding=(0, 2)),
    "same, odd kernel": lambda: conv(3, 4, 3, padding="same", dilation=2),
    "same, even kernel": lambda: conv(3, 4, (4, 2), padding="same"),
    "valid": lambda: conv(3, 4, 3, padding="valid"),
    "shared": Shared,
    "in place": InPlace,
    "attention": Attention,
    "shuffle": Shuffle,
    "dropout": lambda: nn.Sequential(conv(3, 4, 3), nn.Dropout2d(), nn.Flatten(), nn.Dropout()),
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(conv(3, 4, 3))),
    "spectral norm": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(conv(3, 4, 3))),
    "several outputs": lambda: Own(
        lambda own, x: {"main": own.one(x), "aux": own.two(x)}, one=conv(3, 4, 3), two=conv(3, 2, 1)
    ),
    "made tensors": lambda: Own(
        lambda own, x: own.conv(x) + torch.arange(4.0).view(1, 4, 1, 1), conv=conv(3, 4, 1)
    ),
    "sizes": lambda: Own(
        lambda own, x: own.conv(x)[:, :, : x.shape[2] // 2].reshape(x.size(0), -1),
        conv=conv(3, 4, 1),
    ),
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    module = WORKS[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.3, 2.0)
    return module.eval()


EVEN = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@EVEN
@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("batch", [1, 5])
@torch.no_grad()
def test_the_graph_computes_what_the_module_does_for_any_batch(name: str, batch: int) -> None:
    module = made(name)
    images = torch.randn(batch, 3, 8, 8)
    expected = first_output(module(images.clone()))
    found = capture(module, CONTRACT)(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@EVEN
@pytest.mark.parametrize("name", ["in place", "attention", "BatchNorm1d after linear", "dropout"])
@torch.no_grad()
def test_what_was_captured_can_be_copied_pickled_and_trained(name: str) -> None:
    network = capture(made(name), CONTRACT)
    images = torch.randn(2, 3, 8, 8)
    expected = network(images)
    assert torch.equal(network.copy()(images), expected)
    assert torch.equal(copy.deepcopy(network.module)(images), expected)
    assert torch.equal(pickle.loads(pickle.dumps(network.module))(images), expected)
    network.module.train()
    network.module.eval()
    assert torch.equal(network(images), expected)


def test_training_reaches_the_parameters_of_the_user() -> None:
    module = made("BatchNorm1d after linear")
    network = capture(module, CONTRACT)
    assert {id(p) for p in network.module.parameters()} == {id(p) for p in module.parameters()}
    network.module.train()
    network(torch.randn(4, 3, 8, 8)).sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_in_training_mode_batchnorm_counts_as_the_users_own_does() -> None:
    module = made("BatchNorm1d after linear")
    own = copy.deepcopy(module).train()
    network = capture(module, CONTRACT)
    network.module.train()
    images = torch.randn(6, 3, 8, 8)
    torch.testing.assert_close(network(images), own(images))
    theirs, ours = dict(own.named_buffers()), dict(module.named_buffers())
    torch.testing.assert_close(ours["2.running_mean"], theirs["2.running_mean"])
    torch.testing.assert_close(ours["2.running_var"], theirs["2.running_var"])


def test_a_layer_called_twice_gives_two_that_share_weights() -> None:
    module = made("shared")
    assert isinstance(module, Shared)
    one, two = (layer for _, layer in capture(module, CONTRACT).layers())
    assert one is not two
    assert one.weight is two.weight is module.conv.weight
    assert one.form.path == two.form.path == "conv"


def test_all_outputs_are_kept_in_their_order() -> None:
    module = made("several outputs")
    network = capture(module, CONTRACT)
    assert [layer.form.path for _, layer in network.layers()] == ["one", "two"]
    images = torch.randn(2, *CONTRACT.shape)
    for ours, theirs in zip(network.all_outputs(images), module(images).values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(network(images), network.all_outputs(images)[0])


def test_outputs_that_are_no_floats_of_each_image_are_left_out_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = Own(
        lambda own, x: (own.one(x), own.one.weight * 2, own.one(x).argmax(1), own.two(x)),
        one=conv(3, 4, 3), two=conv(3, 2, 1),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, "edgewise"):
        network = capture(module, CONTRACT)
    assert [layer.form.path for _, layer in network.layers()] == ["one", "two"]
    assert len(network.all_outputs(network.example())) == 2
    assert "4 outputs; 2 that are no floats of each image are left out" in caplog.text


def test_dropout_and_a_lone_batchnorm_stay_modules_that_training_can_switch() -> None:
    for name, kind in (("dropout", "dropout"), ("BatchNorm first", "batch_norm")):
        module = capture(made(name), CONTRACT).module
        assert kind in {operation(module, node) for node in module.graph.nodes}
