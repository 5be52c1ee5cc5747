"""What the studies came to, in a table of the README: the paper's loss beside ours."""

from collections.abc import Mapping

from docs import markdown, studies
from edgewise.studies.autoencoder import paper as autoencoder
from edgewise.studies.table import STUDIES
from edgewise.studies.vgg16.tables import PAPER as VGG16
from edgewise.studies.yolov3.paper import TABLE_1

_VGG = "3. Precision"
_DETECTOR = "1. The whole detector"
_AUTOENCODER = "Pruned fine-tuned; SVM fitted on what the pruned network gives back"


def table() -> str:
    """Every headline; raises KeyError where a study has no such row."""
    lines = [*_vgg16(), *_yolov3(), *_autoencoder()]
    headings = ("study", "what is done", "paper, less float", "edgewise, less float", "on")
    return markdown.table(headings, lines)


def _vgg16() -> list[tuple[str, ...]]:
    rows = _rows("vgg16", _VGG)
    kinds = (("4-bit weights and activations", "w4a4"), ("2-bit weights and activations", "w2a2"))
    return [
        ("VGG-16", words, f"{VGG16[name] - VGG16['float']:+.2f}", rows[words]["less float"],
         studies.images("vgg16"))
        for words, name in kinds
    ]  # fmt: skip


def _yolov3() -> list[tuple[str, ...]]:
    rows = _rows("yolov3", _DETECTOR)
    floats = TABLE_1["float"].map
    kinds = (("8 bits, after training", "ptq"), ("8 bits, in training", "qat"))
    return [
        ("YOLOv3", f"{words}, mAP@0.5", f"{TABLE_1[name].map - floats:+.2f}",
         rows[words]["mAP@0.5, less float"], studies.images("yolov3"))
        for words, name in kinds
    ]  # fmt: skip


def _autoencoder() -> list[tuple[str, ...]]:
    rows = _rows("autoencoder", _AUTOENCODER)
    dense = autoencoder.BASELINE["FP32"]
    made: list[tuple[str, ...]] = []
    for sparsity in (0.88, 0.95):
        theirs = autoencoder.PRUNED["shapley"][sparsity]["INT8"] - dense
        words = f"{100 * sparsity:.0f} % of the links gone"
        made.append(("autoencoder", f"{words}, INT8", f"{theirs:+.2f}",
                     rows[f"ours, {words}"]["INT8 less dense"],
                     studies.images("autoencoder")))  # fmt: skip
    return made


def _rows(name: str, title: str) -> Mapping[str, Mapping[str, str]]:
    """The rows of a study's table by their first cell: heading -> cell."""
    (found,) = (one for one in STUDIES[name].tables(studies.findings(name)) if one.title == title)
    return {row[0]: dict(zip(found.headings, row, strict=True)) for row in found.rows}
