from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.errors import UnsupportedOpError, UsageError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network, operation
from edgewise.quant.placement import COMPUTE, PASS, Placement, place
from edgewise.quant.profiles import ONNX_RUNTIME, OPENVINO, PROFILES, profile


def shown(network: Network, placement: Placement) -> list[tuple[str, str]]:
    """Operation and layer of every node that gets a quantizer, in order."""
    module = network.module
    return [
        (operation(module, node), str(node.meta["path"]) if node.op != "placeholder" else "")
        for node in module.graph.nodes
        if node in placement.groups
    ]


def test_quantizers_stand_after_what_computes_and_past_what_is_fused(
    captured: Callable[[str], Network],
) -> None:
    network = captured("plain")
    placement = place(network, ONNX_RUNTIME)
    assert [kind for kind, _ in shown(network, placement)] == [
        "input", "relu", "relu", "relu", "linear",
    ]  # fmt: skip
    assert [str(node.meta["path"]) for node in placement.layers] == [
        "body.0", "body.3", "head.1", "head.3",
    ]  # fmt: skip
    assert placement.kept_float == ()


def test_what_only_moves_values_never_gets_a_quantizer(
    tiny_network: Network,
) -> None:
    placement = place(tiny_network, ONNX_RUNTIME)
    kinds = {operation(tiny_network.module, node) for node in placement.groups}
    assert not kinds & PASS
    assert len(placement.layers) == len(list(tiny_network.layers()))


class Sum(nn.Module):
    """Two branches that are added, one of them a layer with an activation, and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        one = F.leaky_relu(self.one(images))
        return F.relu(F.avg_pool2d(one + F.leaky_relu(self.two(one)), 2))


def test_what_is_added_comes_as_it_is_where_the_runtime_takes_it_so() -> None:
    network = capture(Sum(), natural((3, 8, 8)))
    assert [kind for kind, _ in shown(network, place(network, ONNX_RUNTIME))] == [
        "input", "conv2d", "leaky_relu", "conv2d", "leaky_relu", "add", "relu",
    ]  # fmt: skip
    # The first branch has two readers, and what averages codes gives codes.
    assert [kind for kind, _ in shown(network, place(network, OPENVINO))] == [
        "input", "leaky_relu", "add", "avg_pool2d", "relu",
    ]  # fmt: skip
    kept = place(network, OPENVINO, ("add",))
    assert ("leaky_relu", "") in [(kind, "") for kind, _ in shown(network, kept)]


def test_a_layer_read_twice_is_quantized_before_its_activation() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(3, 4, 1)

        def forward(self, images: Tensor) -> Tensor:
            one = self.one(images)
            return F.relu(one) + one  # type: ignore[no-any-return]

    network = capture(Twice(), natural((3, 8, 8)))
    kinds = [kind for kind, _ in shown(network, place(network, ONNX_RUNTIME))]
    assert kinds == ["input", "conv2d", "relu", "add"]


@pytest.mark.parametrize("globs", [("head",), ("head.*",), ("head.1", "head.3"), ("*.1", "head.3")])
def test_layers_kept_in_float_are_exactly_those_that_match(
    captured: Callable[[str], Network], globs: tuple[str, ...]
) -> None:
    placement = place(captured("plain"), ONNX_RUNTIME, globs)
    kept = [str(node.meta["path"]) for node in placement.kept_float]
    assert kept == ["head.1", "head.3"]
    assert [str(node.meta["path"]) for node in placement.layers] == ["body.0", "body.3"]


def test_every_group_has_a_name_of_its_own_and_shared_ones_one(
    captured: Callable[[str], Network],
) -> None:
    network = captured("concat")
    apart = place(network, ONNX_RUNTIME)
    assert len(set(apart.groups.values())) == len(apart.groups)
    together = place(network, replace(ONNX_RUNTIME, shared=frozenset({"cat"})))
    by_kind: dict[str, set[str]] = {}
    for node, group in together.groups.items():
        by_kind.setdefault(group, set()).add(operation(network.module, node))
    assert {"input", "conv2d", "relu", "cat"} in by_kind.values()


class Unusual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.soft = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax(1))
        self.up = nn.ConvTranspose2d(4, 4, 2)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.up(self.soft(images)))  # type: ignore[no-any-return]


def test_everything_that_has_no_integer_form_is_named_with_its_layer() -> None:
    network = capture(Unusual(), natural((3, 8, 8)))
    with pytest.raises(UnsupportedOpError, match="onnxruntime") as refused:
        place(network, ONNX_RUNTIME)
    assert "softmax at 'soft.1'" in str(refused.value)
    assert "conv_transpose2d at 'up'" in str(refused.value)
    assert "--keep-float" in str(refused.value)
    placement = place(network, ONNX_RUNTIME, ("soft.1", "up"))
    assert [str(node.meta["path"]) for node in placement.layers] == ["soft.0", "last"]


def test_what_moves_and_what_computes_do_not_overlap() -> None:
    assert not PASS & COMPUTE
    for known in PROFILES.values():
        assert known.layers | known.fused | known.shared <= COMPUTE | {"conv_transpose2d"}


def test_profiles_are_found_by_name_and_others_refused() -> None:
    assert profile("onnxruntime") is ONNX_RUNTIME
    assert ONNX_RUNTIME.activations(4).name == "uint4"
    with pytest.raises(UsageError, match="onnxruntime"):
        profile("none")


def test_a_float_layer_between_integer_ones_keeps_quantizers_on_both_sides(
    captured: Callable[[str], Network],
) -> None:
    network = captured("residual")
    placement = place(network, ONNX_RUNTIME, ("one",))
    quantized = {str(node.meta["path"]) for node in placement.groups}
    assert "one.0" not in {str(node.meta["path"]) for node in placement.layers}
    assert "two.0" in {str(node.meta["path"]) for node in placement.layers}
    assert any(
        operation(network.module, source) == "relu" and source in placement.groups
        for node in placement.layers
        if str(node.meta["path"]) == "two.0"
        for source in node.all_input_nodes
    ), quantized


def test_placing_changes_nothing(tiny_network: Network) -> None:
    before = tiny_network.module.code
    place(tiny_network, ONNX_RUNTIME)
    assert tiny_network.module.code == before
    with torch.no_grad():
        tiny_network(tiny_network.example())
