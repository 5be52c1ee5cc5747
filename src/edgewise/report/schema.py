"""The results in a bundle that are shown, as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise.stats import Interval


@dataclass(frozen=True)
class Model:
    """The network before compression. weights: SHA-256 of the file they came from."""

    name: str
    source: str
    weights: str | None
    parameters: int
    macs: int


@dataclass(frozen=True)
class Data:
    """The images. stand_in_for: what they are used in place of; digests: SHA-256 by split."""

    name: str
    stand_in_for: str | None
    test_images: int
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Variant:
    """One form of the network, and its artifact."""

    name: str
    target: str
    runtime: str
    artifact: str
    quantizers: str | None
    recipe: Mapping[str, Any]
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class Check:
    """One tensor against the integer twin: how many codes of `elements` differ, and by how much."""

    tensor: str
    layer: str
    elements: int
    off: int
    worst: int


@dataclass(frozen=True)
class Execution:
    """What a weighted layer runs as; meant: on integers by the recipe."""

    layer: str
    operator: str
    macs: int
    integer: bool
    meant: bool


@dataclass(frozen=True)
class Boundary:
    """A conversion of `elements` values of one image, to integers or to float, between layers.

    place: `input` of the image, `output` of the answer, else `inside`.
    """

    tensor: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    elements: int
    integer: bool
    place: str


@dataclass(frozen=True)
class Export:
    """The checks that an artifact passed. boundaries: None in records that do not tell them."""

    runtime: str
    digest: str
    size_bytes: int
    images: int
    checks: tuple[Check, ...]
    free_running: int
    float_error: float
    executions: tuple[Execution, ...]
    integer_share: float
    worst: int
    first_diverging: str | None
    boundaries: tuple[Boundary, ...] | None = None


@dataclass(frozen=True)
class Accuracy:
    """Shares of one: as trained (network), simulated, and of the file in its runtime (artifact).

    difference: artifact less the baseline's artifact, paired by image; all four None without
    labels. agreement: share of images that the artifact gives the same class.
    """

    name: str
    network: Interval | None
    simulation: Interval | None
    artifact: Interval | None
    difference: Interval | None
    agreement_with_simulation: float | None
    agreement_with_float: float | None


@dataclass(frozen=True)
class Accuracies:
    """Accuracy of all variants on the same images."""

    split: str
    images: int
    data: str
    labelled: bool
    variants: tuple[Accuracy, ...]


@dataclass(frozen=True)
class Scores:
    """Mean average precision: at an overlap of 0.5, at 0.75, and COCO's mean of ten."""

    ap50: Interval
    ap75: Interval
    coco: Interval


@dataclass(frozen=True)
class ClassScore:
    """Average precision and recall at an overlap of 0.5; None without objects of the class."""

    ap50: float | None
    recall: float | None


@dataclass(frozen=True)
class Repeated:
    """How many of `of` sure detections the artifact finds too."""

    repeated: int
    of: int

    @property
    def share(self) -> float | None:
        return self.repeated / self.of if self.of else None


@dataclass(frozen=True)
class Precision:
    """A detector by each executor, see Accuracy. classes: of the artifact; detections: a file."""

    name: str
    network: Scores
    simulation: Scores
    artifact: Scores
    difference: Scores
    agreement_with_simulation: Repeated
    agreement_with_float: Repeated
    classes: tuple[ClassScore, ...]
    detections: str


@dataclass(frozen=True)
class Precisions:
    """Precision of all variants on the same images. classes: names; pictures: a file."""

    split: str
    images: int
    data: str
    objects: int
    classes: tuple[str, ...]
    variants: tuple[Precision, ...]
    pictures: str | None


@dataclass(frozen=True)
class OutputNoise:
    """Signal to noise of one output, dB; None where nothing is off."""

    artifact_db: float | None
    simulation_db: float | None
    apart_db: float | None


@dataclass(frozen=True)
class Closeness:
    """How close a variant's outputs are to float; agreement: None where nothing is found."""

    name: str
    outputs: tuple[OutputNoise, ...]
    agreement_with_simulation: Repeated | None = None
    agreement_with_float: Repeated | None = None
    detections: str | None = None


@dataclass(frozen=True)
class Closenesses:
    """Closeness of all variants on the same images. outputs, classes: names; pictures: a file."""

    split: str
    images: int
    data: str
    outputs: tuple[str, ...]
    variants: tuple[Closeness, ...]
    classes: tuple[str, ...] = ()
    pictures: str | None = None


@dataclass(frozen=True)
class LayerSensitivity:
    """Signal to quantization noise at the layer's output, dB: from this layer, and all up to it."""

    layer: str
    region: str
    macs: int
    parameters: int
    alone_sqnr_db: float | None
    accumulated_sqnr_db: float | None


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity of every quantized layer, in the order they run."""

    variant: str
    images: int
    layers: tuple[LayerSensitivity, ...]
