"""Networks that nobody here wrote lose their channels, or the tool says which must stay and why."""

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.channels.groups import channel_groups
from edgewise.graph.cost import layer_costs
from edgewise.graph.cut import cut, masked
from edgewise.graph.network import Network
from edgewise.importance.channels import magnitude_scores
from edgewise.importance.widths import best, uniform

# Module of pytorchcv, and the share of MACs that at least goes with 30 % of all channels that can.
NETWORKS = {
    "resnet18": ("resnet", 0.4), "mobilenetv2_w1": ("mobilenetv2", 0.4),
    "mobilenetv3_small_w1": ("mobilenetv3", 0.3), "efficientnet_b0": ("efficientnet", 0.3),
    "squeezenet_v1_1": ("squeezenet", 0.3), "densenet121": ("densenet", 0.3),
    "shufflenetv2_w1": ("shufflenetv2", 0.1), "regnetx002": ("regnet", 0.4),
}  # fmt: skip


def made(name: str) -> Network:
    torch.manual_seed(0)
    factory = getattr(import_module(f"pytorchcv.models.{NETWORKS[name][0]}"), name)
    module: nn.Module = factory().eval()
    for part in module.modules():
        if isinstance(getattr(part, "final_pool", None), nn.AvgPool2d):
            part.final_pool = nn.AdaptiveAvgPool2d(1)  # as theirs, at every size
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.8, 1.6)
            nn.init.normal_(part.bias, 0, 0.2)
    return capture(module, natural((3, 64, 64)), name)


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_others_is_cut(name: str) -> None:
    if find_spec("pytorchcv") is None:
        pytest.skip("pytorchcv is not installed; it comes with the extra [zoo]")
    network = made(name)
    groups = channel_groups(network)
    possible = [group for group in groups if group.reason is None]
    choice = best(magnitude_scores(network, possible), uniform(possible, 0.3, 8))
    smaller, whole = cut(network, choice), masked(network, choice)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, truth = smaller(images), whole(images)
    before, after = (sum(c.macs for c in layer_costs(one)) for one in (network, smaller))
    assert torch.allclose(found, truth, rtol=1e-4, atol=2e-5 * float(truth.abs().max()))
    assert 1 - after / before > NETWORKS[name][1]
