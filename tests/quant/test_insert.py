from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.errors import RecipeError
from edgewise.graph.network import Network, module_of, operation
from edgewise.progress import silent
from edgewise.quant.assign import Assignment
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.insert import Insertion, find_source, insert
from edgewise.quant.observers import METHODS, min_max
from edgewise.quant.placement import place
from edgewise.quant.profiles import ONNX_RUNTIME, Profile
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps.calibrate import Calibrate


@pytest.fixture
def calibrated(tiny_network: Network, tiny_data: Dataset) -> Network:
    split = tiny_data.split("calibration")
    return Calibrate().apply(tiny_network.copy(), split, silent)


def quantizers(network: Network) -> dict[str, FakeQuantize]:
    found = {node.name: module_of(network.module, node) for node in network.module.graph.nodes}
    return {name: m for name, m in found.items() if isinstance(m, FakeQuantize)}


def inserted(network: Network, runtime: Profile, scheme: Scheme, method: str) -> Network:
    insert(
        network, Insertion(place(network, runtime), runtime, Assignment(scheme), METHODS[method])
    )
    return network


def test_every_integer_layer_reads_codes_of_its_own_source(calibrated: Network) -> None:
    network = inserted(calibrated, ONNX_RUNTIME, INT8, "min-max")
    for node in network.module.graph.nodes:
        layer = module_of(network.module, node)
        if isinstance(layer, QuantizedLayer):
            source = find_source(network.module, node)
            assert source is not None
            assert module_of(network.module, source) is layer.source[0]
            assert layer.source[0] is not None


def test_readers_get_the_quantized_value_and_nobody_the_raw_one(calibrated: Network) -> None:
    network = inserted(calibrated, ONNX_RUNTIME, INT8, "mse")
    for node in network.module.graph.nodes:
        if isinstance(module_of(network.module, node), FakeQuantize):
            assert list(node.all_input_nodes[0].users) == [node]
            assert node.users


@pytest.mark.parametrize("method", METHODS)
def test_the_networks_output_is_never_clipped(
    captured: Callable[[str], Network], tiny_data: Dataset, method: str
) -> None:
    split = tiny_data.split("calibration")
    calibrated = Calibrate().apply(captured("plain").copy(), split, silent)
    ranges = dict(calibrated.ranges)
    network = inserted(calibrated, ONNX_RUNTIME, INT8, method)
    last = list(network.module.graph.nodes)[-1].all_input_nodes[0]
    quantizer = module_of(network.module, last)
    assert isinstance(quantizer, FakeQuantize)
    seen = ranges[last.all_input_nodes[0].name]
    low, high = quantizer.bounds
    step = float(quantizer.scale)
    assert low - step <= seen.low
    assert seen.high <= high + step


def test_the_image_and_the_answer_keep_eight_bits_and_the_rest_gets_what_was_asked(
    calibrated: Network,
) -> None:
    network = inserted(calibrated, ONNX_RUNTIME, Scheme(4, 4), "mse")
    first, *others, last = quantizers(network).values()
    assert first.kind.bits == last.kind.bits == 8
    assert {quantizer.kind.bits for quantizer in others} == {4}
    layers = [module_of(network.module, node) for node in network.module.graph.nodes]
    assert {m.kind.bits for m in layers if isinstance(m, QuantizedLayer)} == {4}


def test_a_symmetric_profile_has_zero_at_code_zero_and_no_code_for_what_never_comes(
    calibrated: Network,
) -> None:
    runtime = replace(ONNX_RUNTIME, symmetric=True, signed=True)
    network = inserted(calibrated, runtime, INT8, "min-max")
    kinds = set()
    for node in network.module.graph.nodes:
        quantizer = module_of(network.module, node)
        if isinstance(quantizer, FakeQuantize):
            seen = network.ranges[node.all_input_nodes[0].name]
            assert float(quantizer.zero_point) == 0
            assert quantizer.kind.signed == (seen.low < 0)
            assert max(-seen.low, seen.high) == pytest.approx(quantizer.bounds[1], rel=1e-6)
            kinds.add(quantizer.kind.name)
    assert kinds == {"int8", "uint8"}


def test_members_of_one_group_share_one_quantizer_that_covers_all(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    network = Calibrate().apply(captured("concat").copy(), tiny_data.split("calibration"), silent)
    runtime = replace(ONNX_RUNTIME, shared=frozenset({"cat"}))
    placement = place(network, runtime)
    insert(network, Insertion(placement, runtime, Assignment(INT8), min_max))
    (joined,) = (n for n in network.module.graph.nodes if operation(network.module, n) == "cat")
    shared = module_of(network.module, next(iter(joined.users)))
    assert isinstance(shared, FakeQuantize)
    group = placement.groups[joined]
    members = [node for node, name in placement.groups.items() if name == group]
    assert len(members) == 4
    low, high = shared.bounds
    for node in members:
        assert network.ranges[node.name].low >= low - float(shared.scale)
        assert network.ranges[node.name].high <= high + float(shared.scale)


def test_without_a_range_for_a_tensor_nothing_is_inserted(
    captured: Callable[[str], Network],
) -> None:
    network = captured("plain").copy()
    with pytest.raises(RecipeError, match="calibrate before quantizing"):
        insert(
            network,
            Insertion(place(network, ONNX_RUNTIME), ONNX_RUNTIME, Assignment(INT8), min_max),
        )


def test_the_simulation_stays_near_the_float_network(
    calibrated: Network, tiny_network: Network, tiny_images: Tensor
) -> None:
    network = inserted(calibrated, ONNX_RUNTIME, INT8, "mse")
    with torch.no_grad():
        truth, simulated = tiny_network(tiny_images), network(tiny_images)
    noise = float((truth - simulated).square().sum() / truth.square().sum())
    assert noise < 0.01
