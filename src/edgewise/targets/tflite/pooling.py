"""Pooling, whose windows the runtime places in two ways only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import fx

from edgewise.graph.calls import argument, pair
from edgewise.targets.tflite.builder import Steps, Value, options
from edgewise.targets.tflite.layout import is_same, padded
from edgewise.targets.tflite.writing import NONE, Writing, shape_of, unsupported

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
ONES = ".ones"  # how the weights of a mean are called, which are no layer's
_INT8 = np.iinfo(np.int8)


@dataclass(frozen=True)
class Windows:
    """Where windows are, along height and width.

    reach: of one window, dilation included; before: zeros in front; sizes, results: of the input
    and the output.
    """

    reach: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    sizes: tuple[int, int]
    results: tuple[int, int]

    @staticmethod
    def of(
        node: fx.Node, kernel: list[int], stride: list[int], before: list[int], dilation: list[int]
    ) -> "Windows":
        """Of a node that reads and gives images."""
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        sizes = node.all_input_nodes[0].meta["shape"][2:]
        pairs = (reach, stride, before, sizes, node.meta["shape"][2:])
        return Windows(*((int(one), int(other)) for one, other in pairs))

    @property
    def same(self) -> bool:
        """Whether `SAME` places them so."""
        return all(is_same(*axis) for axis in self._axes())

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Before and behind, by height and width, so that `VALID` places them so."""
        high, wide = (padded(*axis) for axis in self._axes())
        return high, wide

    def _axes(self) -> list[tuple[int, int, tuple[int, int], int]]:
        windows = zip(self.reach, self.stride, strict=True)
        return list(zip(self.sizes, self.results, windows, self.before, strict=True))


def place(
    writing: Writing, name: str, source: Value, windows: Windows, lowest: bool = False
) -> tuple[Value, int]:
    """The input, padded where the runtime would not do it so, and the placement of the windows.

    lowest: with the lowest value there is and not with zeros.
    """
    if windows.same and any(map(any, windows.pads)):
        return source, SAME
    return pad(writing, name, source, windows, lowest), VALID


def pad(
    writing: Writing, name: str, source: Value, windows: Windows, lowest: bool = False
) -> Value:
    """The input with all that its windows reach."""
    pads = windows.pads
    if not any(map(any, pads)):
        return source
    around = writing.integers(f"{name}.pads", [[0, 0], *pads, [0, 0]])
    one, high, wide, channels = source.shape
    shape = [one, high + sum(pads[0]), wide + sum(pads[1]), channels]
    if not lowest:
        inputs = [source, around]
        return writing.move("PAD", inputs, f"{name}.padded", shape, options("Pad"))
    if source.steps is None:
        value = writing.builder.constant("lowest", np.float32(np.finfo(np.float32).min))
    else:
        code = np.asarray([_INT8.min], np.int8)
        value = writing.builder.constant(f"{name}.lowest", code, source.steps)
    inputs = [source, around, value]
    return writing.move("PADV2", inputs, f"{name}.padded", shape, options("PadV2"))


def _pool_settings(kernel: list[int], stride: list[int], padding: int) -> Any:
    return options(
        "Pool2D", padding=padding, strideH=stride[0], strideW=stride[1], filterHeight=kernel[0],
        filterWidth=kernel[1], fusedActivationFunction=NONE,
    )  # fmt: skip


def max_pool(writing: Writing, node: fx.Node) -> Value:
    """The largest value of each window; codes stay what they are."""
    kernel, before = pair(node.args[1]), pair(argument(node, 3, "padding", 0))
    stride = pair(argument(node, 2, "stride", None) or kernel)
    if pair(argument(node, 4, "dilation", 1)) != [1, 1]:
        raise unsupported(node, "with dilation")
    windows = Windows.of(node, kernel, stride, before, [1, 1])
    source, padding = place(writing, node.name, writing.input(node), windows, lowest=True)
    settings = _pool_settings(kernel, stride, padding)
    return writing.move("MAX_POOL_2D", [source], node.name, shape_of(node), settings)


@dataclass(frozen=True)
class Averages:
    """What avg_pool2d and its adaptive form compute.

    divisors: by what each window's sum is divided, (height, width) of the result; whole: whether
    what lies beyond the image never counts.
    """

    kernel: list[int]
    stride: list[int]
    windows: Windows
    divisors: NDArray[np.float32]
    whole: bool

    @property
    def divisor(self) -> float | None:
        """By what all sums are divided; None where it is not one number."""
        first = float(self.divisors.flat[0])
        return first if bool((self.divisors == first).all()) else None


def averages(node: fx.Node, kind: str) -> Averages:
    """The windows of a node; raises UnsupportedOpError where they are of several sizes."""
    if kind == "adaptive_avg_pool2d":
        return _adaptive(node)
    kernel, before = pair(node.args[1]), pair(argument(node, 3, "padding", 0))
    stride = pair(argument(node, 2, "stride", None) or kernel)
    windows = Windows.of(node, kernel, stride, before, [1, 1])
    counted = bool(argument(node, 5, "count_include_pad", True))
    high, wide = (_lengths(windows, axis, counted) for axis in (0, 1))
    divisors = np.outer(high, wide).astype(np.float32)
    fixed = argument(node, 6, "divisor_override", None)
    if fixed is not None:
        divisors = np.full_like(divisors, int(fixed))
    return Averages(kernel, stride, windows, divisors, not counted and fixed is None)


def _adaptive(node: fx.Node) -> Averages:
    size = [int(length) for length in node.all_input_nodes[0].meta["shape"][-2:]]
    target = [int(length) for length in node.meta["shape"][-2:]]
    if any(have % want for have, want in zip(size, target, strict=True)):
        raise unsupported(node, f"from {size} to {target}")
    kernel = [have // want for have, want in zip(size, target, strict=True)]
    windows = Windows.of(node, kernel, kernel, [0, 0], [1, 1])
    divisors = np.full(target, kernel[0] * kernel[1], np.float32)
    return Averages(kernel, kernel, windows, divisors, True)


def _lengths(windows: Windows, axis: int, counted: bool) -> NDArray[np.float32]:
    """How many rows, or columns, of each window count; counted: those of padding too."""
    before, size = windows.before[axis], windows.sizes[axis]
    starts = np.arange(windows.results[axis]) * windows.stride[axis] - before
    ends = np.minimum(starts + windows.reach[axis], size + before)
    if not counted:
        starts, ends = np.maximum(starts, 0), np.minimum(ends, size)
    return (ends - starts).astype(np.float32)


def average_pool(writing: Writing, node: fx.Node, kind: str) -> Value:
    """The mean of each window, in float."""
    found, source = averages(node, kind), writing.floats(node)
    shape = shape_of(node)
    if found.whole and found.windows.same:
        settings = _pool_settings(found.kernel, found.stride, SAME)
        return writing.add("AVERAGE_POOL_2D", [source], node.name, shape, settings)
    # Not SAME, which leaves padding out of what sums are divided by.
    source = pad(writing, node.name, source, found.windows)
    settings = _pool_settings(found.kernel, found.stride, VALID)
    factors = np.float32(found.kernel[0] * found.kernel[1]) / found.divisors
    if bool((factors == 1).all()):
        return writing.add("AVERAGE_POOL_2D", [source], node.name, shape, settings)
    pooled = writing.add("AVERAGE_POOL_2D", [source], f"{node.name}.pooled", shape, settings)
    factor = writing.builder.constant(f"{node.name}.factors", factors[None, :, :, None])
    settings = options("Mul", fusedActivationFunction=NONE)
    return writing.add("MUL", [pooled, factor], node.name, shape, settings)


def average_codes(
    writing: Writing, node: fx.Node, kind: str, name: str, steps: Steps
) -> Value | None:
    """The mean of each window on integers; None where windows count unlike many values.

    As a depthwise convolution by ones, because the runtime's pooling of codes gives them in the
    input's steps, which are too coarse for means.
    """
    found = averages(node, kind)
    if found.divisor is None:
        return None
    source = pad(writing, node.name, writing.input(node), found.windows)
    assert source.steps is not None
    channels = source.shape[3]
    scale = np.float32(1 / found.divisor)
    ones = np.ones((1, *found.kernel, channels), np.int8)
    each = Steps((float(scale),) * channels, axis=3)
    weight = writing.builder.constant(f"{node.name}{ONES}", ones, each)
    step = float(np.float32(source.steps.scale[0]) * scale)
    bias = writing.builder.constant(
        f"{node.name}.none", np.zeros(channels, np.int32), Steps((step,) * channels)
    )
    settings = options(
        "DepthwiseConv2D", padding=VALID, strideH=found.stride[0], strideW=found.stride[1],
        depthMultiplier=1, dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=NONE,
    )  # fmt: skip
    inputs = [source, weight, bias]
    return writing.add("DEPTHWISE_CONV_2D", inputs, name, shape_of(node), settings, steps)
