"""How large the study is run."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wider:
    """A wider network at two bits, of one seed: its width, and the epochs of its stages."""

    width: float
    w8: int
    w4: int
    w2: int


@dataclass(frozen=True)
class Scale:
    """Width of the network, seeds, and epochs of every kind of training.

    images: of the training split, None for all; floats: from scratch; w8, w4, w2a8, w2: of a stage
    of quantization-aware training; ste: bits -> epochs of the plain straight-through method, which
    starts from the float network each time; protocol: of the measurement, quick or full; wider: a
    network of another width that is trained to two bits too.
    """

    width: float
    seeds: int
    floats: int
    w8: int
    w4: int
    w2a8: int
    w2: int
    ste: Mapping[int, int]
    images: int | None = None
    protocol: str = "full"
    wider: Wider | None = None
    summary: str = ""


SCALES: Mapping[str, Scale] = {
    "quick": Scale(0.25, 1, 4, 1, 1, 1, 2, {8: 1, 4: 1, 2: 1}, 24_000, "quick", None,
                   "width 0.25, one seed, few epochs: under an hour on two cores"),
    "standard": Scale(0.25, 3, 16, 2, 6, 8, 16, {8: 2, 4: 6, 2: 16}, None, "full",
                      Wider(0.5, 1, 3, 12),
                      "width 0.25, three seeds; hours on two cores, in cells of under one"),
    "full": Scale(1.0, 3, 60, 10, 20, 60, 60, {8: 10, 4: 20, 2: 60}, None, "full", None,
                  "width 1, three seeds; for a GPU"),
}  # fmt: skip
