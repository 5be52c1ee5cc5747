"""Integer formats, and which of them weights and activations use."""

import re
from dataclasses import dataclass

from edgewise.errors import RecipeError

WIDTHS = (2, 3, 4, 8)


@dataclass(frozen=True)
class IntType:
    """An integer format: `bits` wide; `narrow` leaves out the lowest code of a signed one."""

    bits: int
    signed: bool
    narrow: bool = False

    def __post_init__(self) -> None:
        if self.bits not in WIDTHS:
            raise RecipeError(f"{self.bits} bits are not offered; choose one of {WIDTHS}.")

    @property
    def low(self) -> int:
        """The lowest code."""
        return int(self.narrow) - int(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The highest code."""
        return int(2 ** (self.bits - int(self.signed))) - 1

    @property
    def name(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"


@dataclass(frozen=True)
class Scheme:
    """Bits of weights and of activations.

    Weights are symmetric per output channel, activations affine per tensor (Krishnamoorthi 2018).
    Whether activation codes are signed is the target's matter, not the scheme's.
    """

    weight_bits: int = 8
    activation_bits: int = 8

    def __post_init__(self) -> None:
        for bits in (self.weight_bits, self.activation_bits):
            IntType(bits, signed=True)  # refuses what is not offered before any work

    @property
    def weights(self) -> IntType:
        # At 8 bits the lowest code is left out, so that int16 pair sums cannot overflow; at fewer
        # they cannot anyway, and of four codes none can be spared.
        return IntType(self.weight_bits, signed=True, narrow=self.weight_bits == 8)

    @property
    def name(self) -> str:
        if self.weight_bits == self.activation_bits:
            return f"int{self.weight_bits}"
        return f"w{self.weight_bits}a{self.activation_bits}"

    @staticmethod
    def parse(name: str) -> "Scheme":
        """The scheme that is called `int4` or `w4a8`; raises RecipeError where none is."""
        found = re.fullmatch(r"int(\d)|w(\d)a(\d)", name)
        if found is None:
            raise RecipeError(
                f"'{name}' is no scheme; say int8, or w4a8 for weights and activations."
            )
        both, weights, activations = found.groups()
        return Scheme(int(both or weights), int(both or activations))


INT8 = Scheme(8, 8)
