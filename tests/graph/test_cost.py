from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.cost import LayerCost, layer_costs
from edgewise.graph.network import Network


def test_macs_are_half_of_the_flops_that_torch_counts(
    tiny_name: str, tiny_network: Network, make_tiny: Callable[[str], nn.Module]
) -> None:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        make_tiny(tiny_name)(torch.zeros(1, 3, 8, 8))
    assert 2 * sum(layer.macs for layer in layer_costs(tiny_network)) == counter.get_total_flops()


def test_parameters_are_those_of_the_weighted_layers(
    tiny_network: Network, tiny_module: nn.Module, tiny_name: str
) -> None:
    counted = sum(layer.parameters for layer in layer_costs(tiny_network))
    alone = 8 if tiny_name == "concat" else 0  # a BatchNorm that follows no convolution
    assert counted == sum(p.numel() for p in tiny_module.parameters()) - alone


def test_one_layer_by_hand(captured: Callable[[str], Network]) -> None:
    first, second, *_ = layer_costs(captured("plain"))
    assert first == LayerCost(
        name="body.0", kind="conv2d", region="body", output_shape=(6, 8, 8),
        parameters=6 * 3 * 9 + 12, macs=6 * 3 * 9 * 64, size_bytes=4 * (6 * 3 * 9 + 12),
    )  # fmt: skip
    assert (second.output_shape, second.macs) == ((5, 3, 3), 5 * 6 * 9 * 9)


class Odd(nn.Module):
    """What counts otherwise: a transposed convolution, a linear layer on a sequence, dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 3, stride=2)
        self.wide = nn.Conv2d(4, 2, 3, dilation=2, stride=3)
        self.each = nn.Linear(5, 6)

    def forward(self, images: Tensor) -> Tensor:
        return self.each(self.wide(self.up(images)).flatten(2)[:, :, :5])  # type: ignore[no-any-return]


def test_unusual_layers_are_counted_by_what_they_multiply() -> None:
    costs = {layer.name: layer for layer in layer_costs(capture(Odd(), natural((3, 8, 8))))}
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        Odd()(torch.zeros(1, 3, 8, 8))
    assert 2 * sum(layer.macs for layer in costs.values()) == counter.get_total_flops()
    assert costs["each"].macs == 2 * 5 * 6
    assert costs["up"].macs == 3 * 4 * 9 * 64


@pytest.mark.parametrize("batch", [1, 3])
def test_costs_are_of_one_image_whatever_the_batch(
    captured: Callable[[str], Network], batch: int
) -> None:
    network = captured("plain")
    network(network.example(batch))
    assert sum(layer.macs for layer in layer_costs(network)) == 6 * 27 * 64 + 5 * 54 * 9 + 35 + 28
