"""A recipe: an ordered tuple of steps, JSON in and out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError, UsageError
from edgewise.graph.network import Network
from edgewise.progress import Progress, silent
from edgewise.steps.adaround import AdaRound
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.correct import BiasCorrect
from edgewise.steps.dynamic import Dynamic
from edgewise.steps.equalize import Equalize
from edgewise.steps.finetune import Finetune
from edgewise.steps.fold import Fold
from edgewise.steps.half import Half
from edgewise.steps.material import Material
from edgewise.steps.prune_channels import PruneChannels
from edgewise.steps.prune_links import PruneLinks
from edgewise.steps.qat import Qat
from edgewise.steps.quantize import Quantize
from edgewise.steps.step import Step
from edgewise.steps.store_weights import StoreWeights
from edgewise.targets.target import Export, Target
from edgewise.training.schedule import Curves

SCHEMA = "recipe/1"
STEPS: tuple[type[Step], ...] = (
    Fold, Equalize, PruneChannels, PruneLinks, Finetune, Calibrate, Quantize, Qat, AdaRound,
    BiasCorrect, Half, StoreWeights, Dynamic,
)  # fmt: skip

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class StepNote:
    """What one step took, for the report; curves: of its training."""

    step: str
    seconds: float
    curves: Curves | None = None


@dataclass(frozen=True)
class Compressed:
    """A network with a recipe applied, and what each step took."""

    network: Network
    recipe: "Recipe"
    notes: tuple[StepNote, ...]

    def export(self, target: Target, path: Path, images: Tensor) -> Export:
        """Write the artifact and verify it on `images`, network inputs of a few images."""
        return target.export(self.network, path, images)


@dataclass(frozen=True)
class Recipe:
    """Steps in order; an order that cannot work is refused here, before any work.

    name: how the result is called in tables and folders.
    """

    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise RecipeError(f"a recipe's name is letters, digits, - and _, not '{self.name}'.")
        for step in self.steps[:-1]:
            if step.stores:
                raise RecipeError(
                    f"'{step.name}' comes last in a recipe, and in recipe '{self.name}' something "
                    "follows it; put that before."
                )
        quantized = None
        for step in self.steps:
            if step.refines and quantized is None:
                raise RecipeError(
                    f"'{step.name}' in recipe '{self.name}' refines integer layers and there are "
                    "none yet; put it after quantize."
                )
            if quantized is not None and not (step.refines or isinstance(step, StoreWeights)):
                raise RecipeError(
                    f"'{step.name}' cannot follow '{quantized}' in recipe '{self.name}': after "
                    "that the weights are integers. Put it before."
                )
            if step.quantizes:
                quantized = step.name
        last = self.steps[-1].name if self.steps else None
        if last == "calibrate":
            raise RecipeError(f"recipe '{self.name}' ends with calibrate, which changes nothing.")

    @property
    def needs_data(self) -> bool:
        """Whether calibration images are needed."""
        return any(step.needs_data for step in self.steps)

    @property
    def quantizes(self) -> bool:
        """Whether the result has integer layers."""
        return any(step.quantizes for step in self.steps)

    @property
    def keeps_function(self) -> bool:
        """Whether the result is the network itself, but for rounding."""
        return not self.trains and not any(step.prunes for step in self.steps)

    @property
    def trains(self) -> bool:
        """Whether labelled images to train on are needed."""
        return any(isinstance(step, Qat | Finetune) for step in self.steps)

    def apply(
        self,
        network: Network,
        data: Split | None = None,
        progress: Progress = silent,
        material: Material | None = None,
    ) -> Compressed:
        """Apply the steps to a copy of `network`; raises RecipeError when data are missing.

        data: calibration images; material: what recipes that train need.
        """
        if self.needs_data and (data is None or len(data) == 0):
            raise RecipeError(f"recipe '{self.name}' needs calibration images and got none.")
        if self.trains and material is None:
            raise RecipeError(f"recipe '{self.name}' trains, and got no images to train on.")
        if material is not None and material.teacher is None:
            material = replace(material, teacher=network.copy().module.eval())
        current, notes = network.copy(), []
        refined = any(step.refines for step in self.steps)
        for place, step in enumerate(self.steps):
            start, curves = time.perf_counter(), None
            if isinstance(step, Qat):
                assert material is not None
                trained = step.train(current, material, progress)
                current, curves = trained.frozen(), trained.curves
                current = replace(current, reference=trained.latent if refined else None)
            elif isinstance(step, Finetune):
                assert material is not None
                current, curves = step.train(current, material, f"finetune-{place}", progress)
            else:
                reference = current.copy() if step.quantizes and refined else current.reference
                current = replace(step.apply(current, data, progress), reference=reference)
            notes.append(StepNote(step.name, time.perf_counter() - start, curves))
        return Compressed(replace(current, reference=None), self, tuple(notes))

    def with_kept_float(self, globs: Sequence[str]) -> "Recipe":
        """The same recipe with more layers kept in float."""
        steps = tuple(
            replace(step, keep_float=(*step.keep_float, *globs))
            if isinstance(step, Quantize | Qat | Dynamic)
            else step
            for step in self.steps
        )
        return replace(self, steps=steps)

    def with_float_outputs(self, network: Network) -> "Recipe":
        """The same recipe with the layers in float that the network declares as its outputs'.

        What they compute with are floats; in the file their weights have 8 bits.
        """
        if not network.float_outputs or not self.quantizes:
            return self
        kept = self.with_kept_float(network.float_outputs)
        if self.steps[-1].stores:
            return kept
        stored = StoreWeights(layers=tuple(network.float_outputs))
        return replace(kept, steps=(*kept.steps, stored))

    def with_mixed(self, schemes: Sequence[str]) -> "Recipe":
        """The same recipe with `GLOB=w4a8` for layers or regions, before what it says of them."""
        steps = tuple(
            replace(step, mixed=(*schemes, *step.mixed))
            if isinstance(step, Quantize | Qat)
            else step
            for step in self.steps
        )
        return replace(self, steps=steps)

    def placed_for(self, profile: str) -> "Recipe":
        """The same recipe with quantizers where the runtime of that profile wants them."""
        steps = tuple(
            replace(step, profile=profile) if isinstance(step, Quantize | Qat) else step
            for step in self.steps
        )
        return replace(self, steps=steps)

    def calibrated_on(self, images: int) -> "Recipe":
        """The same recipe with ranges from so many calibration images."""
        steps = tuple(
            replace(step, images=images) if isinstance(step, Calibrate) else step
            for step in self.steps
        )
        return replace(self, steps=steps)

    def to_json(self) -> dict[str, Any]:
        steps = [step.to_json() for step in self.steps]
        return {"schema": SCHEMA, "name": self.name, "steps": steps}

    @staticmethod
    def from_json(value: Any) -> "Recipe":
        """The recipe in parsed JSON; raises RecipeError, saying where, when it is not one."""
        if not isinstance(value, Mapping) or value.get("schema") != SCHEMA:
            raise RecipeError(f"a recipe is a JSON object with schema '{SCHEMA}'.")
        name, steps = value.get("name"), value.get("steps")
        if not isinstance(name, str) or not isinstance(steps, list):
            raise RecipeError("a recipe has a name and a list of steps.")
        return Recipe(name, tuple(_step(entry) for entry in steps))


def _step(value: Any) -> Step:
    kinds = {kind.name: kind for kind in STEPS}
    name = value.get("step") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or name not in kinds:
        raise RecipeError(f"{value!r} is not a step; known steps are {', '.join(kinds)}.")
    settings = {key: entry for key, entry in value.items() if key != "step"}
    return _build(kinds[name], settings, f"step '{name}'")


def _build(
    kind: type[Settings], given: Mapping[str, Any], where: str, known: Settings | None = None
) -> Settings:
    """An object of the given settings, each known and of its default's type.

    known: the defaults, where they are not those of the kind.
    """
    defaults = {
        field.name: field.default if known is None else getattr(known, field.name)
        for field in fields(kind)  # type: ignore[arg-type]
    }
    settings = dict(defaults)
    for key, value in given.items():
        if key not in defaults:
            names = ", ".join(defaults) or "none"
            raise RecipeError(f"{where} has no setting '{key}'; it has {names}.")
        settings[key] = _setting(value, defaults[key], f"'{key}' of {where}")
    try:
        return kind(**settings)
    except UsageError as error:
        raise RecipeError(f"{where}: {error}") from error


def _setting(value: Any, default: Any, where: str) -> Any:
    if is_dataclass(default) and isinstance(value, Mapping):
        return _build(type(default), value, where, default)
    if isinstance(default, tuple) and isinstance(value, list):
        if all(isinstance(entry, str) for entry in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise RecipeError(f"{where} cannot be {value!r}; its default is {default!r}.")
