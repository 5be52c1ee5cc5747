import torch
from torch import Tensor, fx

from edgewise.graph.network import Network
from edgewise.graph.walk import Walk


class Values(fx.Interpreter):
    def __init__(self, network: Network, images: Tensor) -> None:
        super().__init__(network.module, garbage_collect_values=False)
        with torch.no_grad():
            self.run(images)


@torch.no_grad()
def test_every_layers_input_and_output_are_those_of_running_at_once(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    whole = Values(tiny_network, tiny_images).env
    ahead = Walk(tiny_network.module, torch.split(tiny_images, 3))
    behind = Walk(tiny_network.module, torch.split(tiny_images, 3))
    for node, _ in tiny_network.layers():
        inputs = torch.cat(list(ahead.inputs(node)))
        outputs = torch.cat(list(behind.outputs(node.name)))
        assert torch.allclose(inputs, whole[node.all_input_nodes[0]], rtol=1e-4, atol=1e-5)
        assert torch.allclose(outputs, whole[node], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_only_what_is_still_to_be_read_is_kept(tiny_network: Network, tiny_images: Tensor) -> None:
    walk = Walk(tiny_network.module, [tiny_images])
    nodes = list(tiny_network.module.graph.nodes)
    for node, _ in tiny_network.layers():
        walk.inputs(node)
        alive = set(walk._runs[0].env)
        before = nodes[: nodes.index(node)]
        assert alive == {n for n in before if any(user not in before for user in n.users)}


@torch.no_grad()
def test_what_is_changed_before_it_runs_is_seen(tiny_network: Network, tiny_images: Tensor) -> None:
    network = tiny_network.copy()
    walk = Walk(network.module, [tiny_images])
    (node, layer), *_ = network.layers()
    list(walk.inputs(node))
    layer.weight = torch.nn.Parameter(layer.weight * 0)
    layer.bias = None
    layer.batch_norm = None
    (output,) = walk.outputs(node.name)
    assert not output.any()
