"""Which scheme every layer of a network gets, and which width every activation."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from edgewise.errors import RecipeError
from edgewise.graph.network import Network, operation
from edgewise.graph.regions import covers
from edgewise.quant.placement import PASS, Placement
from edgewise.quant.scheme import INT8, Scheme


@dataclass(frozen=True)
class Assignment:
    """Schemes by layer.

    scheme: of all that is not named; ends: of the first and the last layer, None for no exception;
    mixed: region or glob on paths -> scheme; the first that covers a layer decides, before `ends`.
    A region's exact name comes before a glob of the same letters.
    """

    scheme: Scheme
    ends: Scheme | None = None
    mixed: tuple[tuple[str, Scheme], ...] = ()

    @staticmethod
    def of(scheme: Scheme, ends: str, mixed: tuple[str, ...]) -> "Assignment":
        """From settings as recipes have them: `w8a8` or nothing, and `GLOB=w4a8` each."""
        pairs = []
        for text in mixed:
            glob, equals, name = text.rpartition("=")
            if not equals or not glob:
                raise RecipeError(f"'{text}' gives no layers a scheme; say GLOB=w4a8.")
            pairs.append((glob, Scheme.parse(name)))
        return Assignment(scheme, Scheme.parse(ends) if ends else None, tuple(pairs))

    def layers(self, network: Network, placement: Placement) -> dict[fx.Node, Scheme]:
        """The scheme of every placed layer; raises RecipeError for what covers none."""
        nodes, regions = placement.layers, network.regions
        paths = {node: str(node.meta["path"]) for node in nodes}
        for text, _ in self.mixed:
            if not any(covers(text, path, regions) for path in paths.values()):
                raise RecipeError(
                    f"no quantized layer is called '{text}'; they are {', '.join(paths.values())}; "
                    f"regions: {', '.join(regions) or 'none'}."
                )
        found = {}
        for node in nodes:
            named = (scheme for text, scheme in self.mixed if covers(text, paths[node], regions))
            is_end = self.ends is not None and node in (nodes[0], nodes[-1])
            found[node] = next(named, self.ends if is_end and self.ends else self.scheme)
        return found

    def activation_bits(
        self, network: Network, placement: Placement, schemes: Mapping[fx.Node, Scheme]
    ) -> dict[str, int]:
        """Bits of every group of activations: the most that any of its readers asks for.

        The image comes in 8 bits, and fewer would throw away what the sensor gave for nothing; the
        network's output is read by people, and keeps 8.
        """
        bits: dict[str, int] = {}
        for node, group in placement.groups.items():
            wanted = [self._wanted(network, reader, schemes) for reader in _readers(network, node)]
            if node.op == "placeholder":
                wanted.append(INT8.activation_bits)
            known = bits.get(group, min(wanted, default=self.scheme.activation_bits))
            bits[group] = max([known, *wanted])
        return bits

    def _wanted(self, network: Network, reader: fx.Node, schemes: Mapping[fx.Node, Scheme]) -> int:
        if operation(network.module, reader) == "output":
            return INT8.activation_bits
        return schemes.get(reader, self.scheme).activation_bits


def _readers(network: Network, node: fx.Node) -> list[fx.Node]:
    """What reads a node's values, past the operations that only move them."""
    found = []
    for user in node.users:
        passes = operation(network.module, user) in PASS
        found.extend(_readers(network, user) if passes else [user])
    return found
