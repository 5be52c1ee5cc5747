"""Which version every operator is stamped with.

A runtime refuses a version that it does not know. Stamped too low, an old one would load the model
and fail later, or compute something else; so every rule says what its version brought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_FLOAT, _HALF = schema.TensorType.FLOAT32, schema.TensorType.FLOAT16
_INT8, _INT4 = schema.TensorType.INT8, schema.TensorType.INT4


@dataclass(frozen=True)
class Operand:
    """What of an input decides a version; scales: how many it has; last: size of its last axis."""

    kind: int
    rank: int
    scales: int = 0
    last: int = 0


@dataclass(frozen=True)
class Rule:
    """A version and what it brought: an operator of such a form needs it.

    given, weights: types of the first and the second input; rank: the least of the first input's;
    channels: whether one of the inputs has a scale per channel; groups: whether a filter reads some
    of the input's channels only; setting: of the operator, that is more than 1 or true; None is
    any.
    """

    version: int
    brought: str
    given: int | None = None
    weights: int | None = None
    rank: int = 0
    channels: bool = False
    groups: bool = False
    setting: str | None = None

    def covers(self, inputs: Sequence[Operand], options: Any) -> bool:
        """Whether an operator of these inputs and settings is of the rule's form."""
        first, second = inputs[0], inputs[1] if len(inputs) > 1 else None
        return (
            self.given in (None, first.kind)
            and (self.weights is None or (second is not None and self.weights == second.kind))
            and first.rank >= self.rank
            and (not self.channels or any(one.scales > 1 for one in inputs))
            and (not self.groups or (second is not None and second.last != first.last))
            and (self.setting is None or int(getattr(options, self.setting)) > 1)
        )


_BYTES = (Rule(2, "int8", _INT8),)

# The first rule that covers an operator decides; without one it has version 1, its first form. An
# operator that is not here is not written.
VERSIONS: Mapping[str, tuple[Rule, ...]] = {
    "ABS": (),
    "ADD": _BYTES,
    "AVERAGE_POOL_2D": _BYTES,
    "BATCH_MATMUL": (),
    "CONCATENATION": _BYTES,
    "CONV_2D": (
        Rule(7, "int4 weights", weights=_INT4),
        Rule(6, "groups", groups=True),
        Rule(5, "int8 weights per channel under float", _FLOAT, _INT8),
        Rule(3, "int8", _INT8),
    ),
    "DEPTH_TO_SPACE": (),
    "DEPTHWISE_CONV_2D": (
        Rule(7, "int4 weights", weights=_INT4),
        Rule(6, "int8 weights per channel under float", _FLOAT, _INT8),
        Rule(3, "int8", _INT8),
        Rule(2, "dilation", setting="dilationHFactor"),
        Rule(2, "dilation", setting="dilationWFactor"),
    ),
    "DEQUANTIZE": (
        Rule(6, "int4", _INT4),
        Rule(5, "a scale per channel", _INT8, channels=True),
        Rule(3, "float16", _HALF),
        Rule(2, "int8", _INT8),
    ),
    "DIV": (Rule(2, "broadcast over five axes", rank=5),),
    "ELU": (),
    "EXP": (),
    "FULLY_CONNECTED": (
        # Runtimes that do not know it take the first channel's scale for all, and say nothing.
        Rule(12, "a scale per channel", weights=_INT8),
        Rule(12, "a scale per channel", weights=_INT4),
        Rule(5, "the input's other axes kept", rank=3),
    ),
    "GELU": (),
    "HARD_SWISH": (),
    "LEAKY_RELU": (),
    "LOG": (),
    "LOG_SOFTMAX": (),
    "LOGISTIC": _BYTES,
    "MAXIMUM": (Rule(3, "broadcast over five axes", rank=5), *_BYTES),
    "MAX_POOL_2D": _BYTES,
    "MEAN": _BYTES,
    "MINIMUM": (Rule(3, "broadcast over five axes", rank=5), *_BYTES),
    "MUL": (Rule(3, "int8, products of a larger scale than the result's too", _INT8),),
    "NEG": (),
    "PAD": (Rule(4, "more than four axes", rank=5), *_BYTES),
    "PADV2": (Rule(4, "more than four axes", rank=5), *_BYTES),
    "POW": (),
    "PRELU": (),
    "QUANTIZE": (),
    "RELU": _BYTES,
    "RELU6": _BYTES,
    "RELU_N1_TO_1": (),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (Rule(3, "half_pixel_centers"),),
    "RESIZE_NEAREST_NEIGHBOR": _BYTES,
    "SOFTMAX": _BYTES,
    "SQRT": (),
    "STRIDED_SLICE": (Rule(4, "more than four axes", rank=5), *_BYTES),
    "SUB": (Rule(3, "broadcast over five axes", rank=5), *_BYTES),
    "SUM": (),
    "TANH": _BYTES,
    "TRANSPOSE": (
        Rule(6, "six axes", rank=6),
        Rule(4, "five axes", rank=5),
        *_BYTES,
    ),
}


def find_version(operator: str, inputs: Sequence[Operand], options: Any) -> int:
    """The version of an operator of that form."""
    rules = (rule for rule in VERSIONS[operator] if rule.covers(inputs, options))
    return next((rule.version for rule in rules), 1)
