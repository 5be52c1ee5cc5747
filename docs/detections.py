"""Draws what YOLOv3-tiny finds in a photograph as float32 and as int8, from the study's record.

The photograph is darknet's; where it is not fetched, the picture stays as it was drawn.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from edgewise import store
from edgewise.data import registry
from edgewise.data.letterbox import letterbox
from edgewise.report.plot import SERIES

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "records" / "yolov3" / "standard" / "tiny" / "agreement.json"
PICTURE = ROOT / "docs" / "images" / "yolov3-detections.jpg"
PHOTOGRAPH = "dog.jpg"
SHOWN = ("float32", "int8, onnxruntime")
_SIDE = 416


def write() -> None:
    """Draw the picture where the record and the photograph are there."""
    photograph = registry.data_root() / "darknet" / PHOTOGRAPH
    if RECORD.is_file() and photograph.is_file():
        draw(store.read_record(RECORD)["result"], photograph)


def draw(result: Mapping[str, Any], photograph: Path) -> None:
    """Both variants side by side, every detection with its class and score."""
    place = result["photographs"].index(PHOTOGRAPH)
    rows = {row["name"]: row["found"][place] for row in result["rows"]}
    with Image.open(photograph) as image:
        pixels = letterbox(image, (3, _SIDE, _SIDE))
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(SHOWN)), SHOWN, strict=True):
        axes.imshow(pixels)
        _draw_boxes(axes, rows[name], result["classes"])
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_ylim(370, 46)  # without the grey above and below
        axes.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(110)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels).convert("RGB")
    with store.atomic(PICTURE) as part:
        picture.save(part, "JPEG", quality=85)


def _draw_boxes(axes: Axes, found: Sequence[Sequence[float]], classes: Sequence[str]) -> None:
    for label, score, left, top, right, bottom in found:
        colour = SERIES[1 + int(label) % (len(SERIES) - 1)]
        size = (right - left, bottom - top)
        axes.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=colour, lw=1.8))
        words, ground = f"{classes[int(label)]} {score:.2f}", {"facecolor": colour, "pad": 1.2}
        axes.text(left + 2, top + 2, words, fontsize=7, va="top", color="white", bbox=ground)
