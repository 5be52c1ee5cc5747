import itertools

import torch
from benchmarks.importance import permutation, promises, sampling


def test_marginals_of_all_orders_average_to_the_closed_form() -> None:
    torch.manual_seed(0)
    inputs, weight = torch.randn(50, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    exact = weight * (weight @ (inputs.T @ inputs / 50))
    orders: dict[tuple[int, ...], torch.Tensor] = {}
    for seed in itertools.count():
        order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
        orders.setdefault(tuple(order.tolist()), permutation(inputs, weight, seed))
        if len(orders) == 24:
            break
    assert torch.allclose(torch.stack(list(orders.values())).mean(0), exact)
    for found in orders.values():
        assert torch.allclose(found.sum(1), exact.sum(1))


def test_the_permutations_it_takes_follow_the_scatter() -> None:
    torch.manual_seed(0)
    inputs, weight = torch.randn(400, 16).relu(), torch.randn(8, 16)
    found = sampling(inputs, weight, 0.5, 40)
    count = 30
    draws = torch.stack([permutation(inputs, weight, 100 + seed) for seed in range(400)]).double()
    exact = (weight * (weight @ (inputs.T @ inputs / 400))).double()
    means = torch.stack([draws[at : at + count].mean(0) for at in range(0, 390, count)])
    relative = (means - exact).square().mean() / exact.square().mean()
    foretold = found.permutations * 0.01**2 / count
    assert 0.5 < float(relative) / foretold < 2
    assert found.total_s == found.seconds * found.permutations


def test_promises_fail_where_they_are_not_held() -> None:
    good = {"name": "a", "closed_s": 0.1, "times_cheaper": 200.0, "over_epoch_bfloat16": 1.2}
    assert all(held for _, held in promises([good, good]))
    for change in ({"closed_s": 0.3}, {"times_cheaper": 99.0}, {"over_epoch_bfloat16": 1.6}):
        assert not all(held for _, held in promises([good | change, good | change]))
