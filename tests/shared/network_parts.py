"""What is inside a network, by the names of its nodes."""

import torch
from torch import Tensor, fx

from edgewise.graph.network import Network, module_of
from edgewise.quant.fake import QuantizedLayer


class Values(fx.Interpreter):
    """Every node's value for a batch."""

    def __init__(self, network: Network, images: Tensor) -> None:
        super().__init__(network.module, garbage_collect_values=False)
        with torch.no_grad():
            self.run(images)

    def __getitem__(self, name: str) -> Tensor:
        value = next(value for node, value in self.env.items() if node.name == name)
        assert isinstance(value, Tensor)
        return value


def quantized_layers(network: Network) -> dict[str, QuantizedLayer]:
    """The layers of integer weights, in order."""
    found = ((node.name, module_of(network.module, node)) for node in network.module.graph.nodes)
    return {name: layer for name, layer in found if isinstance(layer, QuantizedLayer)}
