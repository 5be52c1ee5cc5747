"""Test images with what two variants find in them, side by side."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from edgewise.data.npz import from_npz
from edgewise.errors import DataError, StorageError
from edgewise.report import plot, words
from edgewise.report.contents import Contents, Recorded, Source
from edgewise.report.rows import Row
from edgewise.report.schema import Closenesses, Precisions
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.stored import unpack

SCORE = 0.3  # detections that are drawn
_MOST = 6  # pictures of a page
_SIDE = 2.6  # inches of a panel
_LONGEST = 18

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One image twice, as PNG in base64; alt, caption: what is on it."""

    png: str
    alt: str
    caption: str
    source: Source


def pictures(contents: Contents, table: Sequence[Row]) -> list[Picture]:
    """Some test images: the baseline's detections and the chosen variant's.

    Raises StorageError where the files are not the bundle's, or hold something else.
    """
    row, baseline = words.chosen(table), next(each for each in table if each.is_baseline)
    recorded = contents.precision or contents.closeness
    if row is None or recorded is None or recorded.result.pictures is None:
        return []
    pixels, places = _pixels(contents.raw(recorded.result.pictures))
    found = {one.variant.name: _detections(contents, one) for one in (baseline, row)}
    if len(places) and max(places) >= min(map(len, found.values())):
        raise StorageError("the bundle's pictures are of images that nothing was found in.")
    return [
        _picture(image, {name: each[place] for name, each in found.items()}, recorded)
        for image, place in zip(pixels[:_MOST], places, strict=False)
    ]


def _pixels(content: bytes) -> tuple[Pixels, list[int]]:
    try:
        stored = from_npz(content)
        pixels, places = stored["pixels"], [int(place) for place in stored["images"]]
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"the bundle's pictures are not readable: {error!r}.") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise StorageError(f"pictures are uint8 pixels, not {pixels.dtype} of {pixels.shape}.")
    if min(places, default=0) < 0 or len(places) != len(pixels):
        raise StorageError("the bundle's pictures do not say which images they are.")
    return pixels, places


def _detections(contents: Contents, row: Row) -> tuple[Detections, ...]:
    known = row.precision or row.closeness
    file = None if known is None else known.detections
    if file is None:
        raise StorageError(f"nothing says what '{row.variant.name}' finds in the pictures.")
    try:
        return unpack(contents.raw(file))[0].artifact
    except DataError as error:
        raise StorageError(f"{file}: {error}") from error


def _picture(
    image: Pixels,
    found: Mapping[str, Detections],
    recorded: Recorded[Precisions] | Recorded[Closenesses],
) -> Picture:
    sure = {name: each.above(SCORE) for name, each in found.items()}
    classes = recorded.result.classes

    def paint(figure: Figure) -> None:
        for axes, (name, each) in zip(figure.subplots(1, 2), sure.items(), strict=True):
            _panel(axes, image, plot.elide(name, 2 * _LONGEST), each, classes)

    content = plot.picture("png", (2 * _SIDE, _height(image)), paint)
    said = "; ".join(f"{name}: {_listed(each, classes)}" for name, each in sure.items())
    png = base64.b64encode(content).decode()
    return Picture(png, f"What is found. {said}", said, recorded.source)


def _height(image: Pixels) -> float:
    shape: float = image.shape[0] / image.shape[1]
    return _SIDE * min(max(shape, 0.25), 4.0) + 0.22


def _panel(
    axes: Axes, image: Pixels, title: str, found: Detections, classes: Sequence[str]
) -> None:
    axes.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
    for label, score, box in zip(found.classes, found.scores, found.boxes, strict=True):
        left, top, right, bottom = (float(side) - 0.5 for side in box)  # pixels are drawn centred
        colour = plot.SERIES[1 + int(label) % (len(plot.SERIES) - 1)]
        name = plot.elide(_name(int(label), classes), _LONGEST)
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour,
                      linewidth=1.6, clip_on=True)
        )  # fmt: skip
        axes.text(
            max(left, 0), max(top, 0), f"{name} {score:.2f}", fontsize=7, color="white",
            va="bottom" if top > image.shape[0] / 12 else "top",
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )  # fmt: skip


def _listed(found: Detections, classes: Sequence[str]) -> str:
    named = [_name(int(label), classes) for label in found.classes]
    counts = {name: named.count(name) for name in dict.fromkeys(named)}
    shown = ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in counts.items())
    return shown or "nothing"


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if label < len(classes) else str(label)
