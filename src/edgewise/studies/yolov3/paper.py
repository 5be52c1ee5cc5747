"""The paper's own figures: YOLOv3 at 416x416, PASCAL VOC 2007 and 2012, a Raspberry Pi 3B+."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """One row of the paper: megabytes of the file, mean average precision in per cent, seconds."""

    size_mb: float
    map: float
    latency_s: float


FLOAT = Told(241.09, 69.33, 12.49)
TABLE_1: Mapping[str, Told] = {
    "float": FLOAT,
    "ptq": Told(60.84, 67.54, 6.51),
    "qat": Told(60.84, 69.29, 6.51),
}


@dataclass(frozen=True)
class Change:
    """What quantizing one part changed: shares of size and latency, and points of precision."""

    size: float
    latency: float
    points: float


# As the text tells table 2; of two parts at once it tells nothing.
PARTS: Mapping[str, Change] = {
    "backbone": Change(-0.505, -0.202, -0.87),
    "neck": Change(-0.1798, -0.014, -0.32),
    "head": Change(-0.034, -0.079, -1.15),
}
