"""Which channels of a network were kept, as data that can be stored and used again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewise.errors import ModelError


@dataclass(frozen=True)
class Kept:
    """Of one layer: the output and input channels that were kept, by their old numbers, and the
    shape of its weights after that.
    """

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """One cut: layers, by their submodule in the graph, that are smaller than they were before.

    Those that pass channels on one by one are not named: they follow the others.
    """

    layers: Mapping[str, Kept]

    def to_json(self) -> dict[str, Any]:
        return {name: {**asdict(kept)} for name, kept in self.layers.items()}

    @staticmethod
    def from_json(value: Any) -> "Plan":
        """The plan in parsed JSON; raises ModelError, naming the layer, when it is not one."""
        if not isinstance(value, Mapping) or not value:
            raise ModelError("a channel plan is an object of layers, and there are none.")
        return Plan({str(name): _kept(str(name), entry) for name, entry in value.items()})


def _kept(name: str, value: Any) -> Kept:
    keys = ("outputs", "inputs", "shape")
    if not isinstance(value, Mapping) or sorted(value) != sorted(keys):
        raise ModelError(
            f"the channel plan says of '{name}' something else than {', '.join(keys)}."
        )
    outputs, inputs, shape = (_numbers(name, key, value[key]) for key in keys)
    for key, one in (("outputs", outputs), ("inputs", inputs)):
        if not one or list(one) != sorted(set(one)):
            raise ModelError(f"the {key} of '{name}' in the channel plan do not rise from 0.")
    return Kept(outputs, inputs, shape)


def _numbers(name: str, key: str, value: Any) -> tuple[int, ...]:
    plain = isinstance(value, Sequence) and all(type(one) is int and one >= 0 for one in value)
    if not plain:
        raise ModelError(f"the {key} of '{name}' in the channel plan are no list of numbers.")
    return tuple(value)
