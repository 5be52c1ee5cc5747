import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgewise.graph.layer import Form
from edgewise.graph.patches import sample
from edgewise.quant.equalize import blocks


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def product(form: Form, weight: Tensor, rows: Tensor) -> Tensor:
    return rows @ blocks(form, weight).flatten(2).mT


@given(
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.sampled_from([1, 2, 4]),
    limit=st.sampled_from([1, 5, 40, 10**6]),
)  # fmt: skip
def test_outputs_at_any_positions_are_the_products_of_what_they_read(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
    kernel: tuple[int, int], groups: int, limit: int,
) -> None:  # fmt: skip
    geometry = {"stride": list(stride), "padding": list(padding), "dilation": list(dilation),
                "groups": groups}  # fmt: skip
    form, weight = Form("conv2d", "x", geometry), drawn(8, 4 // groups, *kernel)
    batches = []
    for seed, size in enumerate((2, 3)):
        values = drawn(size, 4, 7, 6, seed=seed)
        batches.append((values, form.run(values, weight, None)))
    inputs, targets = sample(form, weight.shape, batches, limit, 0)
    positions = sum(outputs[:, 0].numel() for _, outputs in batches)
    assert inputs.shape[:2] == targets.shape[:2]
    assert inputs.shape[1] == positions if limit >= positions else inputs.shape[1] <= limit + 2
    assert torch.allclose(product(form, weight, inputs), targets, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3)])
def test_a_linear_layers_positions_are_its_vectors(shape: tuple[int, ...]) -> None:
    form, weight, values = Form("linear", "x", {}), drawn(4, 3), drawn(*shape, seed=1)
    both = (values, form.run(values, weight, None))
    inputs, targets = sample(form, weight.shape, [both], 100, 0)
    assert inputs.shape == (1, both[1].numel() // 4, 3)
    assert torch.allclose(product(form, weight, inputs), targets)


def test_positions_are_drawn_by_the_seed_alone_and_each_once() -> None:
    form, values = Form("linear", "x", {}), torch.arange(50.0).view(50, 1)
    both = [(values, values)]
    one, _ = sample(form, (1, 1), both, 20, 3)
    assert torch.equal(one, sample(form, (1, 1), both, 20, 3)[0])
    assert not torch.equal(one, sample(form, (1, 1), both, 20, 4)[0])
    assert len(set(one.flatten().tolist())) == 20
