"""What a target is: a format, the runtime that executes it, and its placement profile."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from edgewise import store
from edgewise.data.preprocess import Preprocessing
from edgewise.graph.network import Network
from edgewise.targets.metadata import Texts, contract_in, decoder_in
from edgewise.targets.packing import Stretch
from edgewise.tasks.detection.decoder import Decoder

ANY = "any"


@dataclass(frozen=True)
class LayerCheck:
    """One quantized tensor of the artifact against the integer twin, teacher-forced.

    worst: largest difference in codes; off: how many of `elements` differ at all.
    """

    tensor: str
    layer: str
    elements: int
    off: int
    worst: int


@dataclass(frozen=True)
class LayerExecution:
    """How the runtime executes one weighted layer.

    operator: the runtime's own, after its graph optimization; integer: on integer kernels;
    meant: on integers by the recipe.
    """

    layer: str
    operator: str
    macs: int
    integer: bool
    meant: bool


@dataclass(frozen=True)
class ArtifactLayer:
    """One weighted layer of a file, and the operator that runs it.

    stored: the type its weights are stored in; size_bytes: what they take in the file;
    activations: the type of the codes that it reads, by the bounds they are clipped to, or `float`.
    """

    name: str
    operator: str
    stored: str
    weights: int
    size_bytes: int
    activations: str


@dataclass(frozen=True)
class Boundary:
    """One conversion between floats and integers that the runtime computes for every image.

    tensor: the quantizer's name; before, after: what is on each side: paths of layers, names of
    operations without weights, `input` and `output`; elements: values of one image; integer: to
    integers, else to float; place: `input` where the image becomes codes, `output` where the answer
    is made of them, else `inside`.
    """

    tensor: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    elements: int
    integer: bool
    place: str


@dataclass(frozen=True)
class Export:
    """A verified artifact.

    checks: per quantized tensor; free_running: largest difference in codes at any tensor when the
    twin is not corrected on the way; executions: per weighted layer; images: how many the checks
    ran; float_error: largest difference of outputs from the simulation, relative to their largest;
    boundaries: conversions between floats and integers, in the order they run.
    """

    path: Path
    runtime: str
    digest: str
    size_bytes: int
    images: int
    checks: tuple[LayerCheck, ...]
    free_running: int
    float_error: float
    executions: tuple[LayerExecution, ...]
    boundaries: tuple[Boundary, ...] = ()

    @property
    def integer_share(self) -> float:
        """Share of the multiply-accumulates that run on integers."""
        total = sum(layer.macs for layer in self.executions)
        return sum(layer.macs for layer in self.executions if layer.integer) / max(total, 1)

    @property
    def worst(self) -> int:
        """Largest teacher-forced difference in codes at any tensor."""
        return max((check.worst for check in self.checks), default=0)

    @property
    def first_diverging(self) -> str | None:
        """The first tensor that is more than one code off, or None."""
        return next((check.layer for check in self.checks if check.worst > 1), None)

    def to_json(self) -> dict[str, Any]:
        """Everything but the path, which the bundle knows better."""
        stored: dict[str, Any] = asdict(self)
        del stored["path"]
        derived: Mapping[str, Any] = {
            "integer_share": self.integer_share,
            "worst": self.worst,
            "first_diverging": self.first_diverging,
        }
        return {**stored, **derived}


@dataclass(frozen=True)
class Verified:
    """An artifact as bytes, and what was found out about it; see Export."""

    content: bytes
    checks: tuple[LayerCheck, ...]
    free_running: int
    float_error: float
    executions: tuple[LayerExecution, ...]
    boundaries: tuple[Boundary, ...] = ()


class Target(ABC):
    """Writes artifacts of one format for one runtime.

    name: on the command line; runtime: what executes it; profile: of quantizer placement; needs:
    the extra, and its package, that artifacts are checked with; kernels: of which processor the
    fastest ones take its weights as they are laid out, or of `any`.
    """

    name: str
    runtime: str
    profile: str
    suffix: str
    needs: str | None = None
    kernels: str = ANY

    def export(self, network: Network, path: Path, images: torch.Tensor) -> Export:
        """Make the artifact, verify it on `images`, and only then write it to `path`.

        Raises ParityError when it differs from the integer twin by more than one code at any
        tensor, ExportError when a layer meant for integers runs in float or one meant for float on
        integers; no artifact is left then.
        """
        made = self.verified(network, images)
        store.write_bytes(path, made.content)
        return Export(
            path=path,
            runtime=self.runtime,
            digest=store.digest(made.content),
            size_bytes=len(made.content),
            images=len(images),
            checks=made.checks,
            free_running=made.free_running,
            float_error=made.float_error,
            executions=made.executions,
            boundaries=made.boundaries,
        )

    @abstractmethod
    def verified(self, network: Network, images: torch.Tensor) -> Verified:
        """The artifact, checked on `images`; raises as export does."""

    @abstractmethod
    def inspect(self, path: Path) -> tuple[ArtifactLayer, ...]:
        """The weighted layers of an artifact; raises ModelError when the file is none."""

    @abstractmethod
    def stretches(self, content: bytes) -> tuple[Stretch, ...]:
        """Where an artifact of this format holds weights."""

    def contract(self, path: Path) -> Preprocessing:
        """The preprocessing contract in an artifact; raises ModelError when it holds none."""
        return contract_in(self.texts(path), path)

    def decoder(self, path: Path) -> Decoder | None:
        """How an artifact's outputs become objects, or None; raises ModelError when damaged."""
        return decoder_in(self.texts(path), path)

    @abstractmethod
    def texts(self, path: Path) -> Texts:
        """What is stored in an artifact by name; raises ModelError when the file is none."""
