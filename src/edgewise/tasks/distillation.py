"""Distillation: learn from the soft labels of another network."""

from torch import Tensor
from torch.nn import functional as F


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean Kullback-Leibler divergence of (n, classes) logits at a temperature, times its square.

    Hinton et al. 2015: the square keeps the size of the gradient.
    """
    ours = F.log_softmax(student.float() / temperature, dim=1)
    theirs = F.log_softmax(teacher.float() / temperature, dim=1)
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
