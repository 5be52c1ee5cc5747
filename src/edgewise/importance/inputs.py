"""Second moments of what a layer's units read together: the inputs of a group at one position."""

from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.graph.layer import Form
from edgewise.graph.patches import sample


@dataclass
class InputMoments:
    """Sums over positions, in float64: of inputs (groups, inputs) and of their products
    (groups, inputs, inputs); inputs counts those of a group times the kernel's taps.

    limit: positions of a batch that are looked at, at most; drawn evenly, by seed.
    """

    form: Form
    shape: tuple[int, ...]
    limit: int
    positions: int
    sums: Tensor
    products: Tensor

    @staticmethod
    def empty(form: Form, shape: tuple[int, ...], limit: int) -> "InputMoments":
        groups = int(form.geometry.get("groups", 1))
        count = int(torch.Size(shape[1:]).numel())
        sums = torch.zeros(groups, count, dtype=torch.float64)
        products = torch.zeros(groups, count, count, dtype=torch.float64)
        return InputMoments(form, shape, limit, 0, sums, products)

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """A batch more: the layer's inputs, and outputs of the layer's shape."""
        rows, _ = sample(
            self.form, self.shape, [(inputs, outputs)], self.limit, seed=self.positions
        )
        self.positions += rows.shape[1]
        self.sums += rows.sum(1, dtype=torch.float64)
        self.products += (rows.transpose(1, 2) @ rows).double()

    @property
    def mean(self) -> Tensor:
        return self.sums / self.positions

    def second(self, centred: bool) -> Tensor:
        """Second moments (groups, inputs, inputs), about the mean where centred."""
        second = self.products / self.positions
        if centred:
            second = second - self.mean[:, :, None] * self.mean[:, None, :]
        return second

    def by_group(self, values: Tensor) -> Tensor:
        """Values of the weights' shape as (groups, units of a group, inputs), float64."""
        return values.detach().double().reshape(len(self.sums), -1, self.sums.shape[1])
