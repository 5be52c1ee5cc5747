"""How detections are judged: the benchmarks of PASCAL VOC and COCO."""

from dataclasses import dataclass

from edgewise.errors import DataError


@dataclass(frozen=True)
class Protocol:
    """One way to compute average precision.

    thresholds: intersection over union from which a detection may be right; points: recalls that
    precision is averaged over, none for the area under the curve; free: a detection may have its
    second choice where a better one has the first (COCO), else it is wrong (VOC); most: detections
    of an image and class that count, best first.
    """

    name: str
    thresholds: tuple[float, ...]
    points: int | None = None
    free: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        if not self.thresholds or not all(0 < one <= 1 for one in self.thresholds):
            raise DataError(f"overlaps to judge by lie over 0 up to 1, not {self.thresholds}.")
        if (self.points is not None and self.points < 2) or (
            self.most is not None and self.most < 1
        ):
            raise DataError("a protocol needs two points of recall, and room for a detection.")


def voc(threshold: float = 0.5) -> Protocol:
    """VOC since 2010: the area under the curve (Everingham et al. 2015)."""
    return Protocol("VOC", (threshold,))


def voc2007(threshold: float = 0.5) -> Protocol:
    """VOC 2007: the mean precision at recalls of 0, 0.1, ... 1 (Everingham et al. 2010)."""
    return Protocol("VOC 2007", (threshold,), points=11)


def coco() -> Protocol:
    """COCO: overlaps of 0.50, 0.55, ... 0.95, recalls of 0, 0.01, ... 1 (Lin et al. 2014)."""
    thresholds = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
    return Protocol("COCO", thresholds, points=101, free=True, most=100)
