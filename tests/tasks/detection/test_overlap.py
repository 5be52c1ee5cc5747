import pytest
import torch
from detection_reference import complete
from torch import Tensor

from edgewise.tasks.detection.overlap import complete_overlap, shape_overlap


def some(seed: int, count: int = 60) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    corners = torch.rand(2, count, 2) * 50
    boxes = torch.cat((corners, corners + torch.rand(2, count, 2) * 40 + 1), dim=2)
    return boxes[0], boxes[1]


def test_complete_overlap_is_that_of_the_paper() -> None:
    ours, theirs = some(0)
    ours[:20] = theirs[:20] + ours[:20] / 10
    expected = [complete(one, two) for one, two in zip(ours.tolist(), theirs.tolist(), strict=True)]
    found = complete_overlap(ours, theirs)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)
    assert complete_overlap(ours, ours).tolist() == pytest.approx([1.0] * 60)
    assert min(expected) < -0.2 < 0.3 < max(expected)


def test_the_gradient_is_that_of_the_formula_with_a_constant_weight() -> None:
    ours, theirs = (boxes.double() for boxes in some(1, 8))
    ours.requires_grad_()
    (grad,) = torch.autograd.grad(complete_overlap(ours, theirs).sum(), ours)
    low, high = ours.detach().clone(), ours.detach().clone()
    low[:, 0] -= 1e-6
    high[:, 0] += 1e-6
    slopes = (complete_overlap(high, theirs) - complete_overlap(low, theirs)) / 2e-6
    assert (grad[:, 0] - slopes).abs().max() < 0.02  # what the weight's own change is worth
    assert grad.abs().max() > 0.01


@pytest.mark.parametrize(
    "box",
    [(5, 5, 5, 5), (5, 5, 5, 9), (-1e6, -1e6, 1e6, 1e6), (0, 0, 10, 10), (9, 9, 4, 4),
     (1e5, 1e5, 1e5, 1e5)],
    ids=str,
)  # fmt: skip
def test_boxes_without_area_and_huge_ones_have_finite_gradients(box: tuple[float, ...]) -> None:
    for target in ((0, 0, 10, 10), (5, 5, 5, 5)):
        ours = torch.tensor([box], dtype=torch.float32, requires_grad=True)
        found = complete_overlap(ours, torch.tensor([target], dtype=torch.float32))
        (grad,) = torch.autograd.grad(found.sum(), ours)
        assert torch.isfinite(found).all()
        assert torch.isfinite(grad).all()


def test_shapes_share_their_centre() -> None:
    found = shape_overlap(torch.tensor([[4.0, 2.0], [1.0, 1.0]]), torch.tensor([[2.0, 4.0]]))
    assert found.flatten().tolist() == pytest.approx([4 / 12, 1 / 8])
