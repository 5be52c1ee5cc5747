import math

import pytest
import torch
from torch import Tensor

from edgewise.quant.adaround import Learning, Rows, learn_codes
from edgewise.quant.scheme import IntType

RELU = (0.0, math.inf)
WHOLE = (-math.inf, math.inf)
KIND = IntType(4, signed=True)


def problem(
    groups: int, outputs: int, inputs: int, clip: tuple[float, float] = RELU, seed: int = 0
) -> tuple[Tensor, Rows]:
    """Weights in steps, and rows of correlated inputs, whose rounding errors can cancel."""
    draw = torch.Generator().manual_seed(seed)
    wanted = torch.rand(groups, outputs, inputs, generator=draw) * 12 - 6
    mix = torch.randn(groups, inputs, inputs, generator=draw)
    values = torch.randn(groups, 400, inputs, generator=draw) @ mix + 1
    scale = 0.1 + torch.rand(groups, 1, outputs, generator=draw)
    bias = torch.randn(groups, 1, outputs, generator=draw)
    targets = torch.baddbmm(bias, values, wanted.mT * scale).clamp(*clip)
    return wanted, Rows(values, targets, scale, bias, clip)


def loss(rows: Rows, codes: Tensor) -> float:
    return float(rows.errors(codes).square().mean())


SETTINGS = Learning(iterations=200, batch_size=128, seed=0, weight=1.0)


@pytest.mark.parametrize("clip", [RELU, WHOLE, (0.0, 6.0)])
@pytest.mark.parametrize("shape", [(1, 4, 16), (4, 1, 9), (2, 3, 5)])
def test_every_code_is_next_to_its_weight_and_the_output_comes_nearer(
    shape: tuple[int, int, int], clip: tuple[float, float]
) -> None:
    wanted, rows = problem(*shape, clip=clip)
    codes = learn_codes(wanted, rows, KIND, SETTINGS)
    assert torch.equal(codes, codes.round())
    assert bool(((codes - wanted).abs() <= 1).all())
    assert loss(rows, codes) < 0.9 * loss(rows, wanted.round())


@pytest.mark.parametrize(
    "kind", [IntType(2, True), IntType(4, True, narrow=True), IntType(3, True)]
)
def test_codes_stay_in_the_format_and_beside_the_clipped_weight(kind: IntType) -> None:
    wanted, rows = problem(1, 8, 20)
    codes = learn_codes(wanted, rows, kind, SETTINGS)
    assert kind.low <= int(codes.min())
    assert int(codes.max()) <= kind.high
    assert bool(((codes - wanted.clamp(kind.low, kind.high)).abs() <= 1).all())


def test_the_same_seed_gives_the_same_codes() -> None:
    wanted, rows = problem(1, 8, 20)
    one, again = (learn_codes(wanted, rows, KIND, SETTINGS) for _ in range(2))
    assert torch.equal(one, again)


def test_weights_that_are_codes_already_stay() -> None:
    wanted, rows = problem(1, 4, 16)
    exact = Rows(rows.inputs, rows.targets + rows.errors(wanted.round()), rows.scale, rows.bias,
                 rows.clip)  # fmt: skip
    assert torch.equal(learn_codes(wanted.round(), exact, KIND, SETTINGS), wanted.round())


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_networks_scale_does_not_matter(factor: float) -> None:
    wanted, rows = problem(1, 8, 20)
    scaled = Rows(rows.inputs, rows.targets * factor, rows.scale * factor, rows.bias * factor,
                  rows.clip)  # fmt: skip
    one, other = (learn_codes(wanted, given, KIND, SETTINGS) for given in (rows, scaled))
    assert float((one != other).float().mean()) < 0.05  # only rounding of the arithmetic differs
