"""How large the study is run."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Seeds, the detector that is trained, and for how long.

    width, repeats: of the detector that accuracy is measured on; images: of the training set, None
    is all; floats: epochs of the float network; qat: epochs of quantization-aware training by bits
    of weights and activations; calibration: training images that ranges are found on; tested:
    images that are scored, None is all; protocol: of measurement.
    """

    seeds: int
    width: float
    repeats: tuple[int, ...]
    images: int | None
    floats: int
    qat: Mapping[tuple[int, int], int]
    calibration: int
    tested: int | None = None
    protocol: str = "hundred"
    summary: str = ""


SCALES: Mapping[str, Scale] = {
    "quick": Scale(1, 0.125, (1, 1, 1, 1, 1), 3000, 6, {(8, 8): 1, (4, 4): 2}, 500, 300, "quick",
                   "one seed of a small detector, half of the images"),
    "standard": Scale(1, 0.25, (1, 1, 2, 2, 1), None, 15, {(8, 8): 1, (4, 8): 3, (4, 4): 6}, 2000,
                      summary="one seed of a detector of 2.3 M parameters; hours on two cores"),
    "full": Scale(3, 0.25, (1, 1, 2, 2, 1), None, 30, {(8, 8): 2, (4, 8): 6, (4, 4): 12}, 2000,
                  summary="three seeds, twice the epochs; best with a GPU"),
}  # fmt: skip
