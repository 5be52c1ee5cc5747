"""Where quantizers go: a table by operation, and groups of tensors that share one.

Operations that only move values (PASS) keep the codes of their input. Operations that compute
(COMPUTE) need quantized inputs and get a quantizer for their output, after the activation that the
runtime fuses with them. Anything else cannot be quantized, and is an error unless the user asked
for it in float.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import fx

from edgewise.errors import RecipeError, UnsupportedOpError
from edgewise.graph.network import Network, operation
from edgewise.graph.regions import covers
from edgewise.quant.profiles import Profile

PASS = frozenset(
    {
        "max_pool2d", "flatten", "unflatten", "view", "reshape", "_unsafe_view", "unsqueeze",
        "squeeze", "permute", "transpose", "expand", "slice", "select", "chunk", "split",
        "split_with_sizes", "getitem", "pad", "constant_pad_nd", "upsample_nearest2d",
        "channel_shuffle", "pixel_shuffle", "contiguous", "clone", "alias", "detach", "dropout",
        "identity",
    }
)  # fmt: skip
COMPUTE = frozenset(
    {
        "conv2d", "linear", "add", "sub", "mul", "div", "cat", "adaptive_avg_pool2d",
        "avg_pool2d", "mean", "relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max",
        "leaky_relu", "sigmoid", "hardsigmoid", "hardswish", "tanh", "batch_norm", "rsub",
        "upsample_bilinear2d",
    }
)  # fmt: skip
WEIGHTED = frozenset({"conv2d", "linear", "conv_transpose2d"})


@dataclass(frozen=True)
class Placement:
    """Which tensors get a quantizer, and which layers run on integers.

    groups: node whose output is quantized -> name of its group, one quantizer each;
    layers: weighted nodes that run on integers; kept_float: those that do not.
    """

    groups: Mapping[fx.Node, str]
    layers: tuple[fx.Node, ...]
    kept_float: tuple[fx.Node, ...]


class _Sets:
    """Union-find over nodes."""

    def __init__(self) -> None:
        self._parent: dict[fx.Node, fx.Node] = {}

    def find(self, node: fx.Node) -> fx.Node:
        while (parent := self._parent.setdefault(node, node)) is not node:
            node = parent
        return node

    def join(self, one: fx.Node, other: fx.Node) -> None:
        self._parent[self.find(one)] = self.find(other)


def place(network: Network, profile: Profile, keep_float: tuple[str, ...] = ()) -> Placement:
    """Decide the placement for a runtime; layers that `keep_float` covers stay as they are.

    keep_float: names of regions, or globs on the names of layers and operations; where a region and
    a layer have the same name, the region is meant. Raises RecipeError when they cover nothing, and
    UnsupportedOpError, naming every operation and its layer, when something computes that has
    no integer form and was not asked for in float.
    """
    kinds = {node: operation(network.module, node) for node in network.module.graph.nodes}
    active = _without_islands(kinds, _active(kinds, profile, _kept(network, kinds, keep_float)))
    needed: set[fx.Node] = set()
    sets = _Sets()
    for node in kinds:
        if kinds[node] in PASS:
            sets.join(node, node.all_input_nodes[0])
        if node not in active:
            continue
        inputs = [n for n in node.all_input_nodes if _is_activation(n)]
        needed.update(inputs)
        needed.add(node)
        if kinds[node] in profile.shared:
            for other in inputs:
                sets.join(other, node)
    adding = {node for node in active if kinds[node] in profile.unrounded}
    roots = {_end(_root(node, kinds), kinds, profile, adding) for node in needed}
    names: dict[fx.Node, str] = {}
    groups = {}
    for node in kinds:
        if node in roots:
            name = names.setdefault(sets.find(node), f"quantizer_{len(names)}")
            groups[node] = name
    weighted = [node for node, kind in kinds.items() if kind in WEIGHTED]
    return Placement(
        groups,
        tuple(node for node in weighted if node in active),
        tuple(node for node in weighted if node not in active),
    )


def _active(
    kinds: Mapping[fx.Node, str], profile: Profile, kept: Collection[fx.Node]
) -> set[fx.Node]:
    active, impossible = set(), []
    names = _names(kinds)
    for node, kind in kinds.items():
        if not node.meta.get("floating") or kind in PASS or kind in ("input", "constant", "output"):
            continue
        if node in kept:
            continue
        possible = kind in COMPUTE and (kind not in WEIGHTED or kind in profile.layers)
        if possible and not (kind == "linear" and len(node.meta["shape"]) != 2):
            active.add(node)
        else:
            impossible.append(f"{kind} at '{names[node]}'")
    if impossible:
        raise UnsupportedOpError(
            f"these cannot be quantized for {profile.name}: {', '.join(impossible)}. To keep them "
            "in float, say so with keep_float (--keep-float) and a region or a glob on these names."
        )
    return active


def _without_islands(kinds: Mapping[fx.Node, str], active: set[fx.Node]) -> set[fx.Node]:
    """The active nodes less operations among float layers alone, such as their activations.

    On integers these would cost a conversion on each side, and the rounding, for nothing.
    """
    sets = _Sets()
    joined = {node for node in kinds if node in active or kinds[node] in PASS}
    for node in joined:
        for source in joined.intersection(node.all_input_nodes):
            sets.join(source, node)
    lands = {sets.find(node) for node in active if kinds[node] in WEIGHTED}
    return {node for node in active if sets.find(node) in lands}


def find_kept(network: Network, keep_float: tuple[str, ...]) -> set[fx.Node]:
    """The nodes that `keep_float` covers; raises RecipeError for what covers none."""
    kinds = {node: operation(network.module, node) for node in network.module.graph.nodes}
    return _kept(network, kinds, keep_float)


def _kept(
    network: Network, kinds: Mapping[fx.Node, str], keep_float: tuple[str, ...]
) -> set[fx.Node]:
    """The nodes that are asked for in float."""
    names, regions = _names(kinds), network.regions
    kept = {
        node
        for node, name in names.items()
        if any(covers(text, name, regions) for text in keep_float)
    }
    if keep_float and not kept:
        raise RecipeError(
            f"nothing in {network.name} is called '{', '.join(keep_float)}', so it cannot be kept "
            f"in float; regions: {', '.join(regions) or 'none'}; layers: "
            f"{', '.join(names[node] for node in kinds if kinds[node] in WEIGHTED)}."
        )
    return kept


def _names(nodes: Iterable[fx.Node]) -> dict[fx.Node, str]:
    """How a user can name every node: by its layer's path, or, where that holds other layers and
    the node is of its own forward, by path and node.
    """
    paths = {node: str(node.meta.get("path") or "") for node in nodes}
    holders = {""}
    for path in paths.values():
        holders.update(path[:end] for end, letter in enumerate(path) if letter == ".")
    return {
        node: f"{path}.{node.name}".lstrip(".") if path in holders else path
        for node, path in paths.items()
    }


def _is_activation(node: fx.Node) -> bool:
    return bool(node.meta.get("floating")) and node.op != "get_attr"


def _end(
    node: fx.Node, kinds: Mapping[fx.Node, str], profile: Profile, unrounded: Collection[fx.Node]
) -> fx.Node:
    """What the runtime computes with the node and without rounding in between, such as an
    activation, which then is what is quantized; the node itself where there is nothing.

    unrounded: operations that take what was computed for them alone as it is.
    """
    alone = profile.shared | profile.closed
    while len(node.users) == 1:
        (reader,) = node.users
        fusible = kinds[node] in COMPUTE | WEIGHTED and kinds[node] not in alone
        taken = kinds[reader] in profile.fused or reader in unrounded
        if not fusible or not taken:
            break
        node = reader
    return node


def _root(node: fx.Node, kinds: Mapping[fx.Node, str]) -> fx.Node:
    """The node that computed the values which `node` only moves."""
    while kinds[node] in PASS:
        node = node.all_input_nodes[0]
    return node
