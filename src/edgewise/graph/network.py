"""A captured network: the graph, its contract, and what is known of it."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgewise.data.preprocess import Preprocessing
from edgewise.graph.histogram import Histogram
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.plan import Plan


@dataclass(frozen=True)
class Network:
    """A network as a graph of functional operations and raised layers.

    module: executable; each node's meta holds `shape` (of its output for one image, batch axis
    first and None) and `path` (of the user's layer it came from);
    regions: name -> globs on paths; ranges: node name -> values seen in calibration;
    half: weights are stored in half precision and widened when loaded; reference: the float network
    of the same nodes that a quantized one was made of, while steps that refine it are to come;
    held: submodules whose zero weights are links that were pruned and stay so in training;
    cuts: how channels were removed since the network was captured, one after the other;
    float_outputs: globs on layers that make its outputs and stay in float by default;
    decoder: how its outputs become objects, as JSON; None where they are no objects;
    proposed: which of `regions` and `float_outputs` were read from the graph, not declared.
    """

    name: str
    module: fx.GraphModule
    contract: Preprocessing
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, Histogram] = field(default_factory=dict)
    half: bool = False
    reference: "Network | None" = None
    held: frozenset[str] = frozenset()
    cuts: tuple[Plan, ...] = ()
    float_outputs: tuple[str, ...] = ()
    decoder: Mapping[str, Any] | None = None
    proposed: frozenset[str] = frozenset()

    def __call__(self, images: Tensor) -> Tensor:
        """The first output for a batch of network inputs."""
        return first_output(self.module(images))

    def all_outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """Every output for a batch of network inputs."""
        result = self.module(images)
        return (result,) if isinstance(result, Tensor) else tuple(result)

    def copy(self) -> "Network":
        """A network whose graph can be changed freely; the parameters are shared."""
        shared: dict[int, Any] = {}
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            shared[id(tensor)] = tensor
        return replace(self, module=copy.deepcopy(self.module, shared))

    def layers(self) -> Iterator[tuple[fx.Node, WeightedLayer]]:
        """Weighted layers in the order they run."""
        for node in self.module.graph.nodes:
            module = module_of(self.module, node)
            if isinstance(module, WeightedLayer):
                yield node, module

    def held_weights(self) -> tuple[str, ...]:
        """Names of the parameters whose zeros are held."""
        return tuple(f"{name}.weight" for name in sorted(self.held))

    def example(self, batch: int = 1) -> Tensor:
        """A tensor of zeros in the network's input shape."""
        return torch.zeros(batch, *self.contract.shape)


def first_output(result: Any) -> Tensor:
    """The first tensor of whatever a network returns."""
    while not isinstance(result, Tensor):
        result = next(iter(result.values() if isinstance(result, dict) else result))
    return result


def output_nodes(module: fx.GraphModule) -> tuple[fx.Node, ...]:
    """What a network gives, in order."""
    (end,) = module.graph.find_nodes(op="output")
    given = end.args[0]
    found = given if isinstance(given, (tuple, list)) else (given,)
    return tuple(node for node in found if isinstance(node, fx.Node))


def output_names(count: int) -> tuple[str, ...]:
    """What an artifact calls its outputs: `output`, or where there are several `output_0`, ..."""
    return ("output",) if count == 1 else tuple(f"output_{place}" for place in range(count))


def module_of(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The submodule that a node calls, or None."""
    if node.op != "call_module":
        return None
    return module.get_submodule(str(node.target))


def operation(module: fx.GraphModule, node: fx.Node) -> str:
    """A node's operation by its field name: conv2d, relu, add, max_pool2d, input, output, ..."""
    target = module_of(module, node)
    if isinstance(target, WeightedLayer):
        return target.form.kind
    if isinstance(target, nn.BatchNorm2d):
        return "batch_norm"
    if target is not None:
        return type(target).__name__.lower()
    if node.op != "call_function":
        return {"placeholder": "input", "get_attr": "constant"}.get(node.op, node.op)
    packet = getattr(node.target, "overloadpacket", None)
    if packet is not None:
        return str(packet).rsplit(".", 1)[-1]
    return str(getattr(node.target, "__name__", node.target))
