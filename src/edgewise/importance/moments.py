"""What pruning needs to know of a layer's inputs and sums, gathered in one pass over images.

A link is a weight; its input, at every position of the output, is the value that the weight
multiplies there. All moments are means over positions and images.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

from edgewise.errors import ModelError
from edgewise.graph.layer import Form

KINDS = ("conv2d", "linear")
_ROWS = 64  # of a column that are added up in float32


@dataclass
class LinkMoments:
    """Sums over positions, in float64.

    shape: of the weights; positions: how many were summed; inputs, squares: of each link's input
    and its square, (groups, inputs of a group, kernel...), for they are the same for all units of a
    group; sums: of each unit's sum of products, (units,); products: of a link's input and its
    unit's sum, of the weights' shape.
    """

    form: Form
    shape: tuple[int, ...]
    positions: int
    inputs: Tensor
    squares: Tensor
    sums: Tensor
    products: Tensor

    @staticmethod
    def empty(form: Form, shape: tuple[int, ...]) -> "LinkMoments":
        """Raises ModelError for a layer that is neither a convolution nor linear."""
        if form.kind not in KINDS:
            raise ModelError(
                f"links of '{form.path}' ({form.kind}) have no importance yet, only those of "
                f"{' and '.join(KINDS)} have. Leave that layer out."
            )
        groups = int(form.geometry.get("groups", 1))
        shared = torch.zeros(groups, *shape[1:], dtype=torch.float64)
        units = torch.zeros(shape[0], dtype=torch.float64)
        whole = torch.zeros(shape, dtype=torch.float64)
        return LinkMoments(form, shape, 0, shared, shared.clone(), units, whole)

    def add(self, inputs: Tensor, sums: Tensor) -> None:
        """A batch more: the layer's inputs, and its sums of products without bias."""
        linear = self.form.kind == "linear"
        ones = torch.ones_like(sums.select(-1 if linear else 1, 0))
        self.positions += ones.numel()
        self.sums += _column_sums(sums.flatten(0, -2)) if linear else _channel_sums(sums)
        self.inputs += self._summed(inputs, ones)
        self.squares += self._summed(inputs.square(), ones)
        self.products += self._products(inputs, sums, self.shape)

    def _summed(self, inputs: Tensor, ones: Tensor) -> Tensor:
        """Sum over positions of every link's input."""
        if self.form.kind == "linear":
            return _column_sums(inputs.flatten(0, -2))[None]
        # A link reads the same positions of every image: the images are added up first.
        outputs = ones[:1, None].expand(-1, len(self.inputs), -1, -1)
        return self._products(inputs.sum(0, keepdim=True), outputs, tuple(self.inputs.shape))

    def _products(self, inputs: Tensor, outputs: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Sum over positions of every link's input times its unit's output."""
        if self.form.kind == "linear":
            return (outputs.flatten(0, -2).T @ inputs.flatten(0, -2)).double()
        product = conv2d_weight(inputs, shape, outputs, **self.form.geometry)  # type: ignore[no-untyped-call]
        return cast(Tensor, product).double()

    def per_unit(self, shared: Tensor) -> Tensor:
        """Values of a group's inputs, repeated for each of its units: of the weights' shape."""
        return shared.repeat_interleave(self.shape[0] // len(shared), 0)

    @property
    def mean(self) -> Tensor:
        """Mean input of every link, of the weights' shape."""
        return self.per_unit(self.inputs / self.positions)

    def second(self, centred: bool) -> Tensor:
        """Mean square of every link's input, or its variance; of the weights' shape."""
        square = self.per_unit(self.squares / self.positions)
        return (square - self.mean.square()).clamp_min(0) if centred else square

    def with_sums(self, centred: bool) -> Tensor:
        """Mean product, or covariance, of every link's input and its unit's sum."""
        products = self.products / self.positions
        if not centred:
            return products
        means = (self.sums / self.positions).view(-1, *[1] * (len(self.shape) - 1))
        return products - self.mean * means


def _column_sums(rows: Tensor) -> Tensor:
    """Of (n, columns): blocks of rows in float32, which is exact enough and fast, then float64."""
    blocks = len(rows) // _ROWS
    whole = rows[: blocks * _ROWS].reshape(blocks, _ROWS, rows.shape[1]).sum(1)
    return whole.sum(0, dtype=torch.float64) + rows[blocks * _ROWS :].sum(0, dtype=torch.float64)


def _channel_sums(images: Tensor) -> Tensor:
    """Of (n, channels, height, width): each image's in float32, then float64."""
    return images.sum((2, 3)).sum(0, dtype=torch.float64)
