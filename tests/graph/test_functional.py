"""However an activation is written, the graph says it in one way; constants are computed once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.network import operation

CONTRACT = natural((3, 8, 8))


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Any:
        return self.function(images)


def kinds(function: Callable[[Tensor], Any]) -> list[str]:
    module = capture(Apply(function), CONTRACT).module
    found = [operation(module, node) for node in module.graph.nodes]
    assert (found[0], found[-1]) == ("input", "output")
    return found[1:-1]


SAME: list[tuple[str, list[str], Callable[[Tensor], Any]]] = [
    ("hardswish", ["hardswish"], F.hardswish),
    ("in pieces", ["hardswish"], lambda x: x * F.relu6(x + 3) / 6),
    ("in place", ["hardswish"], lambda x: x * F.relu6(x + 3.0, inplace=True) / 6.0),
    ("other order", ["hardswish"], lambda x: F.relu6(3 + x) * x / 6),
    ("divided first", ["hardswish"], lambda x: x * (F.relu6(x + 3) / 6)),
    ("times a sixth", ["hardswish"], lambda x: x * F.relu6(x + 3) * (1 / 6)),
    ("by clamp", ["hardswish"], lambda x: x * torch.clamp(x + 3, 0, 6) / 6),
    ("by hardtanh", ["hardswish"], lambda x: x * F.hardtanh(x + 3, 0, 6) / 6),
    ("by hardsigmoid", ["hardswish"], lambda x: F.hardsigmoid(x) * x),
    ("sigmoid, hard", ["hardsigmoid"], lambda x: F.relu6(x + 3) / 6),
    ("silu", ["sigmoid", "mul"], F.silu),
    ("swish", ["sigmoid", "mul"], lambda x: x * x.sigmoid()),
    ("clamped at zero", ["relu"], lambda x: x.clamp(min=0)),
    ("clamp_min", ["relu"], lambda x: x.clamp_min(0)),
    ("clamped around zero", ["hardtanh"], lambda x: x.clamp(-0.5, 0.25)),
]

OTHER: list[tuple[str, list[str], Callable[[Tensor], Any]]] = [
    ("another shift", ["add", "relu6", "mul", "div"], lambda x: x * F.relu6(x + 2) / 6),
    ("another divisor", ["add", "relu6", "mul", "div"], lambda x: x * F.relu6(x + 3) / 5),
    ("another bound", ["add", "hardtanh", "div"], lambda x: x.add(3).clamp(0, 5) / 6),
    ("another tensor", ["mul", "add", "relu6", "mul", "div"],
     lambda x: x * F.relu6(2 * x + 3) / 6),
    ("a shift that is scaled", ["add", "relu6", "div"],
     lambda x: F.relu6(torch.add(x, 3, alpha=2)) / 6),
    ("a sum that is read again", ["add", "relu6", "mul", "div", "add"],
     lambda x: (lambda y: x * F.relu6(y) / 6 + y)(x + 3)),
    ("clamped away from zero", ["clamp"], lambda x: x.clamp(0.1, 0.5)),
    ("clamped above alone", ["clamp"], lambda x: x.clamp(max=0.5)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected", "function"), SAME + OTHER, ids=[name for name, _, _ in SAME + OTHER]
)
def test_what_means_the_same_is_written_the_same_and_nothing_else_is(
    name: str, expected: list[str], function: Callable[[Tensor], Any]
) -> None:
    assert kinds(function) == expected
    images = 4 * torch.randn(3, 3, 8, 8)
    found = capture(Apply(function), CONTRACT)(images)
    torch.testing.assert_close(found, function(images.clone()), rtol=1e-5, atol=1e-6)


class Standardized(nn.Conv2d):
    """Weights of mean 0 and deviation 1, as in Qiao et al. 2019."""

    def forward(self, input: Tensor) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        spread = self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(input, (self.weight - mean) / spread, self.bias, self.stride)


def test_weights_that_are_computed_from_parameters_become_weights() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(Standardized(3, 4, 3), nn.ReLU())
    network = capture(module, CONTRACT)
    ((_, layer),) = network.layers()
    assert layer.form.path == "0"
    assert float(layer.weight.mean()) == pytest.approx(0, abs=1e-6)
    kinds = [operation(network.module, node) for node in network.module.graph.nodes]
    assert kinds == ["input", "conv2d", "relu", "output"]


def test_a_parameter_that_is_only_reshaped_is_one_constant() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = nn.Parameter(torch.randn(3))

        def forward(self, images: Tensor) -> Tensor:
            return images * self.gamma.view(1, 3, 1, 1)

    module = capture(Scaled(), CONTRACT).module
    found = [operation(module, node) for node in module.graph.nodes]
    assert sorted(found) == ["constant", "input", "mul", "output"]
