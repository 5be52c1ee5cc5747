"""Options that say which model, and how its input comes to be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing, natural
from edgewise.errors import UsageError
from edgewise.models.load import Loaded
from edgewise.pipeline.request import contract_for

Command = TypeVar("Command", bound=Callable[..., Any])


def model_options(command: Command) -> Command:
    """`MODEL`, `--weights`, `--model-option` and `--input-shape`."""
    for option in (
        click.option(
            "--input-shape", metavar="C,H,W", help="Channels, height, width [the model's own]."
        ),
        click.option(
            "--model-option",
            "options",
            multiple=True,
            metavar="NAME=VALUE",
            help="Of a built-in MODEL, as in width=0.5; repeatable.",
        ),
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            help="safetensors, or a checkpoint that holds tensors only.",
        ),
        click.argument("model", metavar="MODEL"),
    ):
        command = option(command)
    return command


def parse_options(pairs: tuple[str, ...]) -> dict[str, Any] | None:
    """`width=0.5` as {"width": 0.5}; None when nothing was given."""
    if not pairs:
        return None
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.isidentifier():
            raise UsageError(f"--model-option is NAME=VALUE, not '{pair}'.")
        try:
            parsed[name] = json.loads(value)
        except ValueError:
            parsed[name] = value
    return parsed


def load_both(
    loaded: Loaded, data: str, root: Path | None, shape: tuple[int, int, int] | None, seed: int
) -> tuple[Dataset, Preprocessing]:
    """The data in the shape that the model wants, and the contract between them."""
    wanted = shape or loaded.input_shape
    if shape is not None and loaded.input_shape is not None and shape != loaded.input_shape:
        raise UsageError(
            f"--input-shape says {shape} and {loaded.source} takes {loaded.input_shape}; "
            "leave the option away."
        )
    dataset = registry.load(data, root, wanted, seed)
    return dataset, contract_for(loaded, dataset)


def contract_without_data(loaded: Loaded, shape: tuple[int, int, int] | None) -> Preprocessing:
    """A contract of the right shape for a model that is only looked at."""
    wanted = shape or loaded.input_shape
    if loaded.contract is not None:
        return loaded.contract
    if wanted is None:
        raise UsageError(
            f"{loaded.source} does not say what it takes; give --input-shape, as in 3,224,224, "
            "or return (module, example input) from the factory."
        )
    return natural(wanted)
