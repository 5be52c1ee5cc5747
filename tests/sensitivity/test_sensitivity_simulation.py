from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.graph.network import Network
from edgewise.progress import silent
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.sensitivity.parts import by_layer
from edgewise.sensitivity.simulation import Pair, Simulation, quantized_pair
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize

FEW = Scheme(4, 4)


def pair_of(network: Network, data: Dataset, scheme: Scheme = FEW) -> Pair:
    return quantized_pair(network, Quantize(scheme), data.split("calibration"), silent)


@torch.no_grad()
def test_all_on_is_the_quantized_network_and_all_off_the_float_one(
    tiny_network: Network, tiny_data: Dataset, tiny_images: Tensor
) -> None:
    pair = pair_of(tiny_network, tiny_data)
    simulation = Simulation(pair)
    values = simulation.floats(tiny_images)
    every = frozenset(
        node.name for node in pair.quantized.module.graph.nodes if node.op == "call_module"
    )
    assert torch.equal(simulation.answer(values), pair.floats(tiny_images))
    assert torch.equal(simulation.answer(values, every), pair.quantized(tiny_images))
    # What was switched on before leaves nothing behind.
    assert torch.equal(simulation.answer(values), pair.floats(tiny_images))


@torch.no_grad()
@pytest.mark.parametrize("name", ["plain", "depthwise"])
def test_one_layer_on_is_the_network_with_everything_else_kept_in_float(
    name: str, captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    pair = pair_of(captured(name), tiny_data)
    simulation = Simulation(pair)
    values = simulation.floats(tiny_images)
    outputs = []
    for part in by_layer(pair.quantized):
        # Everything but this layer: paths that are neither it nor hold it.
        others = tuple(
            {str(node.meta["path"]) for node in pair.floats.module.graph.nodes
             if node.meta.get("path") not in (None, "", part.name)}
        )  # fmt: skip
        alone = Recipe(
            "alone", (Fold(), Calibrate(), Quantize(FEW, keep_float=(*others, "*mean*")))
        )
        made = alone.apply(captured(name), tiny_data.split("calibration")).network
        assert [one.name for one in by_layer(made)] == [part.name]
        outputs.append(simulation.answer(values, part.nodes))
        torch.testing.assert_close(outputs[-1], made(tiny_images), rtol=1e-5, atol=1e-6)
    floats = simulation.answer(values)
    assert all(not torch.equal(output, floats) for output in outputs)
