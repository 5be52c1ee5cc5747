"""Integer formats, and which of them weights and activations use."""

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
        # Without the lowest code the range is symmetric and int16 pair sums cannot overflow.
        return IntType(self.weight_bits, signed=True, narrow=True)

    @property
    def name(self) -> str:
        if self.weight_bits == self.activation_bits:
            return f"int{self.weight_bits}"
        return f"w{self.weight_bits}a{self.activation_bits}"


INT8 = Scheme(8, 8)
