"""What to compress, how, and where to put the bundle."""

from dataclasses import dataclass
from pathlib import Path

from edgewise import presets
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.device import Device
from edgewise.errors import UsageError
from edgewise.models.load import Loaded
from edgewise.recipe import Recipe
from edgewise.targets.target import Target
from edgewise.worker.job import Protocol

BASELINE = presets.FLOAT32
_TAKEN = {"records"}  # names of folders beside those of the variants


@dataclass(frozen=True)
class Request:
    """What to compress, how, and where to put the bundle.

    recipes: variants beside the float baseline; device: where artifacts are compared and, with a
    protocol, measured; test_images: the first of their split, None is all; calibration_images: how
    many every recipe sees and finds ranges on, None is what the recipe says; integer_outputs:
    layers are quantized too that the network declares as those of its outputs, and that stay in
    float else.
    """

    model: Loaded
    data: Dataset
    contract: Preprocessing
    recipes: tuple[Recipe, ...]
    target: Target
    out: Path
    device: Device
    protocol: Protocol | None = None
    test_images: int | None = None
    seed: int = 0
    integer_outputs: bool = False
    calibration_images: int | None = None

    def __post_init__(self) -> None:
        names = [BASELINE.name, *(recipe.name for recipe in self.recipes)]
        if len(set(names)) != len(names):
            raise UsageError(f"every variant needs a name of its own, not {', '.join(names)}.")
        if taken := {name for name in names if name.lower() in _TAKEN}:
            raise UsageError(f"a recipe cannot be named '{taken.pop()}', as a bundle's folder is.")


def contract_for(model: Loaded, data: Dataset) -> Preprocessing:
    """The contract stored with the weights, else the data set's own.

    Raises UsageError when the model's input is of another size.
    """
    finished = data.contract.stored == "float32"  # then no other contract applies to them
    contract = data.contract if finished or model.contract is None else model.contract
    if model.input_shape is not None and contract.shape != model.input_shape:
        raise UsageError(
            f"{model.source} takes {model.input_shape} and {data.name} gives {contract.shape} "
            "(channels, height, width); choose other data, or set --input-shape."
        )
    return contract
