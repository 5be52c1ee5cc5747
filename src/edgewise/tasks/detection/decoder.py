"""What the maps of a detector mean: anchors, strides and scores (YOLOv3, Redmon & Farhadi 2018)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewise.errors import DataError

SCHEMA = "yolo/1"
BOX = 5  # x, y, width, height and objectness come before the classes
BOUND = 8.0  # of the exponent of a size: 1/2981 to 2981 times the anchor

Size = tuple[float, float]


@dataclass(frozen=True)
class Decoder:
    """How maps become boxes.

    A map is (n, anchors * (5 + classes), h, w), anchor-major; within an anchor x, y, width, height,
    objectness and the classes, all raw logits. Of a cell in row i and column j of stride s:
    centre = (j + spread * sigmoid(x) - (spread - 1) / 2) * s, and likewise down; size = anchor *
    exp(t), t within BOUND; score of a class = sigmoid(objectness) * sigmoid(class).

    anchors: of each map, coarsest first, (width, height) in pixels of the network's input;
    height, width: of that input; spread: 1 is darknet's, 2 lets a centre leave its cell by half.
    Raises DataError where these cannot be meant.
    """

    anchors: tuple[tuple[Size, ...], ...]
    height: int
    width: int
    classes: int
    spread: float = 1.0

    def __post_init__(self) -> None:
        sizes = [number for one in self.anchors for size in one for number in size]
        if not self.anchors or not all(self.anchors):
            raise DataError("a decoder needs at least one map, and an anchor for every map.")
        if any(len(size) != 2 for one in self.anchors for size in one):
            raise DataError("an anchor is a width and a height.")
        if not all(math.isfinite(number) and number > 0 for number in sizes):
            raise DataError(f"anchors need finite widths and heights over zero, not {sizes}.")
        if min(self.height, self.width, self.classes) < 1:
            raise DataError(
                f"a decoder needs a size and classes, not {self.height}x{self.width} pixels and "
                f"{self.classes} classes."
            )
        if not (math.isfinite(self.spread) and self.spread >= 1):
            raise DataError(
                f"a spread of {self.spread} leaves parts of a cell out; give 1 or more."
            )

    def channels(self, place: int) -> int:
        """Channels of the map at this place."""
        return len(self.anchors[place]) * (BOX + self.classes)

    def strides(self, shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """Pixels a cell of each map, from the maps' shapes (n, channels, h, w).

        Raises DataError where these are not maps of this decoder.
        """
        if len(shapes) != len(self.anchors):
            raise DataError(f"a decoder of {len(self.anchors)} maps cannot read {len(shapes)}.")
        found = []
        for place, shape in enumerate(shapes):
            if len(shape) != 4 or shape[1] != self.channels(place) or min(shape[2:]) < 1:
                raise DataError(
                    f"map {place} has shape {tuple(shape)}; it should be (images, "
                    f"{self.channels(place)}, rows, columns)."
                )
            stride = self.height // shape[2]
            if (stride * shape[2], stride * shape[3]) != (self.height, self.width):
                raise DataError(
                    f"map {place} of {shape[2]}x{shape[3]} cells does not divide an input of "
                    f"{self.height}x{self.width} pixels into squares."
                )
            found.append(stride)
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Any) -> "Decoder":
        """The decoder in `value`; raises DataError when it is not one."""
        if not isinstance(value, Mapping) or value.get("schema") != SCHEMA:
            raise DataError(f"not a decoder: it should be an object of schema {SCHEMA}.")
        try:
            return Decoder(
                anchors=tuple(
                    tuple((float(width), float(height)) for width, height in one)
                    for one in value["anchors"]
                ),
                height=int(value["height"]),
                width=int(value["width"]),
                classes=int(value["classes"]),
                spread=float(value["spread"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"not a decoder: {error!r}.") from error
