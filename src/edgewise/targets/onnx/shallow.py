"""Quantized convolutions of few input channels, in the form that ONNX Runtime is fast with.

Its kernels read input channels in fours. A convolution of an image has three or one, and the
runtime copies every window out first. Here the rows that a
window covers are laid over each other as further channels, the kernel has one row, and the weights
are turned accordingly, by the runtime when it loads. Sums are of the same codes: no answer changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise.graph.layer import Form
from edgewise.targets.onnx.builder import Builder

OVERLAID = ".overlaid"  # how the name ends of what lays the rows over each other
_READ = 4  # input channels that the kernels read at a time
_LEAST_OUTPUTS = 16  # output channels that they need


def is_shallow(form: Form, shape: Sequence[int]) -> bool:
    """Whether a layer with weights of that shape is a convolution that is faster in this form."""
    if form.kind != "conv2d" or form.geometry["groups"] != 1:
        return False
    outputs, inputs, rows, _ = shape
    return inputs < _READ and rows > 1 and outputs >= _LEAST_OUTPUTS and outputs % _READ == 0


@dataclass(frozen=True)
class Overlay:
    """Writes such a convolution.

    shape: of its weights (outputs, inputs, rows, columns); height: of its result; attributes: of
    the plain convolution.
    """

    builder: Builder
    name: str
    shape: Sequence[int]
    height: int
    attributes: Mapping[str, Any]

    @property
    def copies(self) -> int:
        """How often the input is taken: once a row, and until the channels are enough."""
        copies = self.shape[2]
        while copies * self.shape[1] % _READ:
            copies += 1
        return copies

    def codes(self, codes: str, zero: str) -> str:
        """The input's codes (n, c, h, w) as (n, copies * c, height, w); zero: the code of zero."""
        name, rows = f"{self.name}.rows", self.shape[2]
        top, _, bottom, _ = self.attributes["pads"]
        axis = self.builder.constant(f"{name}.axis", np.asarray([2]))
        if top or bottom:
            amounts = self.builder.constant(f"{name}.pads", np.asarray([top, bottom]))
            codes = self.builder.node("Pad", [codes, amounts, zero, axis], f"{name}.padded")
        step = self.attributes["strides"][0]
        taken = []
        for row in range(rows):
            first = row * self.attributes["dilations"][0]
            limits = [first, first + (self.height - 1) * step + 1]
            ends = [self.builder.constant(f"{name}.{at}", np.asarray([at])) for at in limits]
            steps = self.builder.constant(f"{name}.step", np.asarray([step]))
            taken.append(
                self.builder.node("Slice", [codes, *ends, axis, steps], f"{name}.row_{row}")
            )
        # Those beyond the rows meet weights of zero.
        taken += taken[:1] * (self.copies - rows)
        return self.builder.node("Concat", taken, f"{name}{OVERLAID}", axis=1)

    def weight(self, codes: str) -> str:
        """Codes of weights as (outputs, copies * inputs, 1, columns)."""
        outputs, inputs, rows, columns = self.shape
        # Their names begin as those of all weights of the layer, by which its kernel is found.
        turned = self.builder.node("Transpose", [codes], f"{codes}.turned", perm=[0, 2, 1, 3])
        sizes = np.asarray([outputs, rows * inputs, 1, columns])
        flat = [turned, self.builder.constant(f"{codes}.sizes", sizes)]
        joined = self.builder.node("Reshape", flat, f"{codes}.joined")
        more = np.asarray([0, 0, 0, 0, 0, (self.copies - rows) * inputs, 0, 0])
        pads = self.builder.constant(f"{codes}.pads", more)
        return self.builder.node("Pad", [joined, pads], f"{codes}.rows") if more.any() else joined

    def one_row(self) -> dict[str, Any]:
        """The attributes of the convolution that is left."""
        _, left, _, right = self.attributes["pads"]
        return {
            **self.attributes,
            "strides": [1, self.attributes["strides"][1]],
            "pads": [0, left, 0, right],
            "dilations": [1, self.attributes["dilations"][1]],
        }
