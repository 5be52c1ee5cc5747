from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network
from edgewise.progress import silent
from edgewise.steps.fold import Fold


def folded(network: Network) -> Network:
    return Fold().apply(network.copy(), None, silent)


def doubled(network: Network) -> Network:
    """A network of its own in float64."""
    copy = network.copy()
    for part in copy.module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(weight.detach().double(), requires_grad=False))
        for name, value in list(part.named_buffers(recurse=False)):
            if value.is_floating_point():
                part.register_buffer(name, value.double())
    return copy


@torch.no_grad()
def test_folding_changes_the_output_by_rounding_to_float32_alone(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    truth = doubled(tiny_network)(tiny_images.double())
    result = doubled(folded(tiny_network))(tiny_images.double())
    assert torch.allclose(result, truth, rtol=0, atol=float(truth.abs().max()) * 2e-7)
    assert torch.allclose(
        folded(tiny_network)(tiny_images), tiny_network(tiny_images), rtol=1e-4, atol=1e-5
    )


def test_no_batch_norm_is_left(tiny_network: Network) -> None:
    network = folded(tiny_network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.module.modules())
    assert all(layer.batch_norm is None for _, layer in network.layers())


def test_a_batch_norm_alone_becomes_a_depthwise_convolution_under_its_own_name(
    captured: Callable[[str], Network],
) -> None:
    layers = {layer.form.path: layer for _, layer in folded(captured("concat")).layers()}
    assert layers["norm"].form.geometry["groups"] == 4
    assert layers["norm"].weight.shape == (4, 1, 1, 1)


def test_the_network_given_keeps_its_parameters(tiny_network: Network) -> None:
    before = {name: value.clone() for name, value in tiny_network.module.state_dict().items()}
    folded(tiny_network)
    after = tiny_network.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_folding_twice_changes_nothing_more(tiny_network: Network, tiny_images: Tensor) -> None:
    once = folded(tiny_network)
    twice = folded(once)
    with torch.no_grad():
        assert torch.equal(once(tiny_images), twice(tiny_images))


@pytest.mark.parametrize("variance", [0.0, 1e-12, 1e12])
def test_extreme_statistics_stay_finite_and_exact(variance: float, tiny_images: Tensor) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    norm = module[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.running_var.fill_(variance)
    network = capture(module, natural((3, 8, 8)))
    with torch.no_grad():
        truth, result = module(tiny_images), folded(network)(tiny_images)
    assert torch.allclose(result, truth, rtol=1e-4, atol=float(truth.abs().max()) * 1e-5)


def test_what_is_not_a_weighted_layer_stays(captured: Callable[[str], Network]) -> None:
    before, after = captured("residual"), folded(captured("residual"))
    names = [(node.op, node.name) for node in before.module.graph.nodes]
    assert [(node.op, node.name) for node in after.module.graph.nodes] == names
    assert all(
        isinstance(after.module.get_submodule(str(node.target)), WeightedLayer)
        for node in after.module.graph.nodes
        if node.op == "call_module"
    )
