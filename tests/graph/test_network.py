from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network, first_output, module_of, operation


def test_a_copy_shares_parameters_and_nothing_else(tiny_network: Network) -> None:
    copy = tiny_network.copy()
    ours = {name: p.data_ptr() for name, p in tiny_network.module.state_dict().items()}
    theirs = {name: p.data_ptr() for name, p in copy.module.state_dict().items()}
    assert ours == theirs
    before = tiny_network.module.code
    for node in list(copy.module.graph.nodes):
        if node.op == "output":
            copy.module.graph.erase_node(node)
    copy.module.graph.create_node("output", "output", (None,))
    copy.module.recompile()
    assert tiny_network.module.code == before != copy.module.code


def test_a_copys_layers_can_be_replaced_without_the_original_noticing(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    truth = tiny_network(tiny_images)
    copy = tiny_network.copy()
    for node, _ in list(copy.layers()):
        copy.module.set_submodule(str(node.target), nn.Identity())
    assert torch.equal(tiny_network(tiny_images), truth)
    assert list(copy.layers()) == []


def test_layers_come_in_the_order_they_run(captured: Callable[[str], Network]) -> None:
    paths = [layer.form.path for _, layer in captured("plain").layers()]
    assert paths == ["body.0", "body.3", "head.1", "head.3"]
    first = next(iter(captured("plain").layers()))[1]
    assert isinstance(first.batch_norm, nn.BatchNorm2d)


def test_operations_have_the_names_of_the_field(captured: Callable[[str], Network]) -> None:
    module = captured("plain").module
    names = [operation(module, node) for node in module.graph.nodes]
    assert names == [
        "input", "conv2d", "relu", "conv2d", "relu", "max_pool2d", "flatten", "linear", "relu",
        "linear", "output",
    ]  # fmt: skip
    concat = captured("concat").module
    assert {"batch_norm", "avg_pool2d", "upsample_nearest2d", "cat", "slice"} <= {
        operation(concat, node) for node in concat.graph.nodes
    }


def test_a_node_that_calls_no_module_has_none(captured: Callable[[str], Network]) -> None:
    module = captured("plain").module
    found = {node.name: module_of(module, node) for node in module.graph.nodes}
    assert isinstance(found["body_0"], WeightedLayer)
    assert found["relu"] is None
    assert found["output"] is None


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x, 1), lambda x: [(x,)],
                                  lambda x: {"a": {"b": x}}])  # fmt: skip
def test_the_first_tensor_of_whatever_a_network_returns(wrap: Callable[[Tensor], object]) -> None:
    value = torch.ones(2)
    assert first_output(wrap(value)) is value


def test_an_example_has_the_contracts_shape(captured: Callable[[str], Network]) -> None:
    network = captured("plain")
    assert network.example().shape == (1, 3, 8, 8)
    assert network.example(5).shape == (5, 3, 8, 8)
    assert network(network.example(5)).shape == (5, 4)
