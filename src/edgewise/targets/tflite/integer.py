"""Operations without weights on int8 codes."""

from collections.abc import Callable, Mapping, Sequence

from torch import fx

from edgewise.graph.calls import argument
from edgewise.targets.calls import refuse_scaled
from edgewise.targets.tflite.builder import Steps, Value, options
from edgewise.targets.tflite.compute import refuse_ranks, write_cat, write_reduction
from edgewise.targets.tflite.ending import Ending
from edgewise.targets.tflite.pooling import average_codes
from edgewise.targets.tflite.writing import NONE, Writing, shape_of, unsupported

# The codes, and whether they are within their bounds already; None where there is no integer form.
Codes = tuple[Value, bool] | None
WriteCodes = Callable[[Writing, fx.Node, Ending], Codes]

# The runtime has tables for these results only.
_FINEST = 0.6  # of those
_SIGMOID, _TANH = Steps((1 / 256,), -128), Steps((1 / 128,), 0)


def _binary(operator: str, kind: str) -> WriteCodes:
    def write(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
        refuse_scaled(node, unsupported)
        inputs = [writing.input(node, index) for index in (0, 1)]
        refuse_ranks(node, inputs)
        activation = ending.activation
        known = NONE if activation is None else activation
        settings = options(kind, fusedActivationFunction=known)
        shape, steps = shape_of(node), ending.steps
        value = writing.add(operator, inputs, _name(ending), shape, settings, steps)
        return value, activation is not None

    return write


def _looked_up(
    operator: str, result: Steps, writing: Writing, node: fx.Node, ending: Ending
) -> Codes:
    """A result from a table, in other steps if they are hardly finer: two roundings are then one
    code at most.
    """
    name, inputs, steps = _name(ending), [writing.input(node)], ending.steps
    if steps == result:
        return writing.add(operator, inputs, name, shape_of(node), None, result), False
    if steps.scale[0] < _FINEST * result.scale[0]:
        return None
    value = writing.add(operator, inputs, f"{name}.table", shape_of(node), None, result)
    return requantized(writing, value, name, steps), False


def _sigmoid(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    return _looked_up("LOGISTIC", _SIGMOID, writing, node, ending)


def _tanh(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    return _looked_up("TANH", _TANH, writing, node, ending)


def _leaky_relu(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    settings = options("LeakyRelu", alpha=float(argument(node, 1, "negative_slope", 0.01)))
    inputs, shape = [writing.input(node)], shape_of(node)
    return writing.add("LEAKY_RELU", inputs, _name(ending), shape, settings, ending.steps), False


def _hardswish(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    inputs, shape = [writing.input(node)], shape_of(node)
    settings = options("HardSwish")
    return writing.add("HARD_SWISH", inputs, _name(ending), shape, settings, ending.steps), False


def _clip(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    """Codes in other steps; the clipping itself is that to the bounds."""
    return requantized(writing, writing.input(node), _name(ending), ending.steps), False


def requantized(writing: Writing, value: Value, name: str, steps: Steps) -> Value:
    """Codes for the same values in other steps."""
    if value.steps == steps:
        return value
    return writing.add("QUANTIZE", [value], name, value.shape, options("Quantize"), steps)


def _cat(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    parts = node.args[0]
    assert isinstance(parts, Sequence)
    inputs = [
        requantized(
            writing,
            writing.value(node, part, ""),
            f"{_name(ending)}.part_{index}",
            ending.steps,
        )
        for index, part in enumerate(parts)
    ]
    return write_cat(writing, node, inputs, _name(ending), steps=ending.steps), False


def _mean(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
    value, steps = writing.input(node), ending.steps
    return write_reduction(writing, node, "MEAN", value, _name(ending), steps=steps), False


def _average(kind: str) -> WriteCodes:
    def write(writing: Writing, node: fx.Node, ending: Ending) -> Codes:
        if list(node.meta["shape"][2:]) == [1, 1] and kind.startswith("adaptive"):
            return _mean(writing, node, ending)
        value = average_codes(writing, node, kind, _name(ending), ending.steps)
        return None if value is None else (value, False)

    return write


def _name(ending: Ending) -> str:
    """What the codes are called before they are held within bounds."""
    return ending.last.name if ending.activation == NONE else f"{ending.last.name}.free"


INTEGER: Mapping[str, WriteCodes] = {
    "add": _binary("ADD", "Add"),
    "sub": _binary("SUB", "Sub"),
    "mul": _binary("MUL", "Mul"),
    "cat": _cat,
    "relu": _clip,
    "relu6": _clip,
    "hardtanh": _clip,
    "leaky_relu": _leaky_relu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "hardswish": _hardswish,
    "mean": _mean,
    "adaptive_avg_pool2d": _average("adaptive_avg_pool2d"),
    "avg_pool2d": _average("avg_pool2d"),
}
