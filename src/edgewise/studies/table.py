"""The studies by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Shape
from edgewise.errors import UsageError
from edgewise.studies.autoencoder import grid as autoencoder
from edgewise.studies.autoencoder import tables as autoencoder_tables
from edgewise.studies.autoencoder.scales import SCALES as AUTOENCODER_SCALES
from edgewise.studies.result import Plot, Table
from edgewise.studies.vgg16 import grid as vgg16
from edgewise.studies.vgg16 import tables as vgg16_tables
from edgewise.studies.vgg16.scales import SCALES as VGG16_SCALES
from edgewise.studies.yolov3 import grid as yolov3
from edgewise.studies.yolov3 import tables as yolov3_tables
from edgewise.studies.yolov3.scales import SCALES as YOLOV3_SCALES
from edgewise.study import Finding, Grid


@dataclass(frozen=True)
class Study:
    """One study: what it is, the data it wants and those that stand in, and its parts.

    shape: of the images, None is their own; scales: name -> summary; shown: the scale that its page
    is of; grid: data, scale, threads -> cells; tables, plots: of what was found; curves, figures:
    what the plots and the tables are of.
    """

    summary: str
    data: str
    stand_in: str
    shape: Shape | None
    shown: str
    scales: Mapping[str, str]
    grid: Callable[[Dataset, str, int], Grid]
    tables: Callable[[Sequence[Finding]], tuple[Table, ...]]
    plots: Callable[[Sequence[Finding]], tuple[Plot, ...]]
    curves: str
    figures: str


_OVER_SEEDS = (
    "Accuracy is of the test images, means over seeds with 95 % intervals (Student's t); "
    "differences from float are paired by seed, in percentage points."
)

STUDIES: Mapping[str, Study] = {
    "vgg16": Study(
        summary="VGG-16 on CIFAR-10: quantization-aware training by placement, fusion and bits",
        data="cifar10",
        stand_in="fashion-mnist",
        shape=(3, 32, 32),
        shown="standard",
        scales={name: scale.summary for name, scale in VGG16_SCALES.items()},
        grid=lambda data, scale, threads: vgg16.grid(data, scale, VGG16_SCALES[scale], threads),
        tables=vgg16_tables.tables,
        plots=vgg16_tables.plots,
        curves="Of the first seed.",
        figures=_OVER_SEEDS,
    ),
    "autoencoder": Study(
        summary="An autoencoder of MNIST: links pruned by Shapley value or magnitude, in TFLite",
        data="mnist",
        stand_in="mnist",
        shape=autoencoder.SHAPE,
        shown="full",
        scales={name: scale.summary for name, scale in AUTOENCODER_SCALES.items()},
        grid=lambda data, scale, threads: autoencoder.grid(
            data, scale, AUTOENCODER_SCALES[scale], threads
        ),
        tables=autoencoder_tables.tables,
        plots=autoencoder_tables.plots,
        curves="Means over seeds, with 95 % intervals where there is more than one.",
        figures=_OVER_SEEDS,
    ),
    "yolov3": Study(
        summary="YOLOv3 on PASCAL VOC: quantized after training, in training, and in parts",
        data="voc",
        stand_in="composed-voc",
        shape=None,
        shown="standard",
        scales={name: scale.summary for name, scale in YOLOV3_SCALES.items()},
        grid=lambda data, scale, threads: yolov3.grid(data, scale, YOLOV3_SCALES[scale], threads),
        tables=yolov3_tables.tables,
        plots=yolov3_tables.plots,
        curves="Of the first seed.",
        figures="Precision is the mean average precision on the test images, from the artifact in "
        "ONNX Runtime; differences from float are in percentage points.",
    ),
}


def study(name: str) -> Study:
    """The study of that name; raises UsageError when there is none."""
    if name not in STUDIES:
        raise UsageError(f"there is no study '{name}'; known: {', '.join(STUDIES)}.")
    return STUDIES[name]
