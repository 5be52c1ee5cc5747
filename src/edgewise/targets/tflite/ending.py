"""What becomes of an operation's result before anything else reads it."""

from dataclasses import dataclass

from torch import fx

from edgewise.graph.network import module_of, operation
from edgewise.quant.fake import FakeQuantize
from edgewise.quant.integer import CLIPS, clip_bounds, code_bounds
from edgewise.targets.tflite.builder import Steps
from edgewise.targets.tflite.writing import NONE, RELU, RELU6

_LOW, _HIGH = -128, 127


@dataclass(frozen=True)
class Ending:
    """A result that becomes codes, at once or past activations that clip it.

    past: the activations; last: the call of the quantizer; bounds: the lowest and the highest code.
    """

    past: tuple[fx.Node, ...]
    last: fx.Node
    quantizer: FakeQuantize
    bounds: tuple[int, int]

    @property
    def steps(self) -> Steps:
        """What the codes stand for."""
        return steps_of(self.quantizer)

    @property
    def activation(self) -> int | None:
        """The activation that keeps codes in the bounds; None where it takes operators of their
        own.
        """
        # As the runtime finds them: not within the bounds of narrower codes. The least wins.
        (scale,), zero = self.steps.scale, self.steps.zero_point
        six = min(zero + round(6 / scale), _HIGH)
        known = {(zero, six): RELU6, (zero, _HIGH): RELU, (_LOW, _HIGH): NONE}
        return known.get(self.bounds)


def steps_of(quantizer: FakeQuantize) -> Steps:
    """What a quantizer's codes stand for."""
    return Steps((float(quantizer.scale),), int(quantizer.zero_point))


def find_ending(module: fx.GraphModule, node: fx.Node) -> Ending | None:
    """How a node's result becomes codes, its own clipping included; None where it does not."""
    clips, past, last = [], list[fx.Node](), node
    kind = operation(module, node)
    if kind in CLIPS:
        clips.append(clip_bounds(node, kind))
    while len(last.users) == 1:
        (last,) = last.users
        quantizer = module_of(module, last)
        if isinstance(quantizer, FakeQuantize):
            return Ending(tuple(past), last, quantizer, code_bounds(quantizer, clips))
        kind = operation(module, last)
        if kind not in CLIPS:
            return None
        clips.append(clip_bounds(last, kind))
        past.append(last)
    return None
