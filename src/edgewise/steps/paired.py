"""A quantized network beside the float one it was made of, layer by layer on the same images."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.graph.walk import Walk
from edgewise.quant.fake import QuantizedLayer


@dataclass(frozen=True)
class Paired:
    """An integer layer and the float layer it stands for.

    inputs: what the integer layer gets in the quantized network; targets: what the float layer
    gives in the float network, before its activation; both in batches of the same images.
    """

    node: fx.Node
    layer: QuantizedLayer
    original: WeightedLayer
    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]


def integer_layers(module: fx.GraphModule) -> list[tuple[fx.Node, QuantizedLayer]]:
    """Integer layers in the order they run."""
    found = ((node, module_of(module, node)) for node in module.graph.nodes)
    return [(node, layer) for node, layer in found if isinstance(layer, QuantizedLayer)]


def paired_layers(network: Network, split: Split, batch_size: int) -> Iterator[Paired]:
    """Every integer layer in the order they run; the next one sees what was changed in the last.

    Memory holds what is alive between two layers, for all images of `split` in both networks.
    Raises RecipeError when the float network was not kept, DataError for images not finite.
    """
    if network.reference is None:
        raise RecipeError(
            "the float network that this one was quantized of is not known; refine it in the "
            "recipe that quantizes it."
        )
    floats = network.reference.module
    batches = [torch.from_numpy(batch) for batch in split.batches(batch_size, network.contract)]
    simulated, truth = Walk(network.module, batches), Walk(floats, batches)
    for node, layer in integer_layers(network.module):
        original = floats.get_submodule(str(node.target))
        assert isinstance(original, WeightedLayer)
        inputs, targets = simulated.inputs(node), truth.outputs(node.name)
        yield Paired(node, layer, original, tuple(inputs), tuple(targets))
