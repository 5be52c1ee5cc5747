"""Options that say which model, and how its input comes to be."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from edgewise.cli.common import parse_shape
from edgewise.cli.source import Source
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing, natural
from edgewise.errors import UsageError
from edgewise.models.load import Loaded, load_model
from edgewise.pipeline.request import contract_for


@dataclass(frozen=True)
class Asked:
    """The MODEL of a command line: its name, the file of its weights, options of a built-in one,
    and the shape of its input where that was told.
    """

    name: str
    weights: Path | None
    options: dict[str, Any] | None
    shape: tuple[int, int, int] | None

    def load(self) -> Loaded:
        """The network; raises ModelError or UsageError."""
        return load_model(self.name, self.weights, self.options)


def takes_model(function: Callable[..., None]) -> Callable[..., None]:
    """`MODEL`, `--weights`, `--model-option` and `--input-shape`; the command gets an Asked."""

    @wraps(function)
    def resolved(
        model: str, weights: Path | None, options: tuple[str, ...], input_shape: str | None,
        **others: object,
    ) -> None:  # fmt: skip
        asked = Asked(model, weights, parse_options(options), parse_shape(input_shape))
        function(asked, **others)

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
            help="safetensors, a checkpoint that holds tensors only, or darknet's .weights.",
        ),
        click.argument("model", metavar="MODEL"),
    ):
        resolved = option(resolved)
    return resolved


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


def load_data(
    asked: Asked, loaded: Loaded, source: Source, seed: int
) -> tuple[Dataset, Preprocessing]:
    """The data in the shape that the model wants, and the contract between them."""
    shape, known = asked.shape, loaded.input_shape
    if shape is not None and known is not None and shape != known:
        raise UsageError(
            f"--input-shape says {shape} and {loaded.source} takes {known}; leave the option away."
        )
    dataset = source.load(shape or known, seed)
    contract = contract_for(loaded, dataset)
    return dataset.fitted(contract.fit), contract


def contract_without_data(asked: Asked, loaded: Loaded) -> Preprocessing:
    """A contract of the right shape for a model that is only looked at."""
    wanted = asked.shape or loaded.input_shape
    if loaded.contract is not None:
        return loaded.contract
    if wanted is None:
        raise UsageError(
            f"{loaded.source} does not say what it takes; give --input-shape, as in 3,224,224, "
            "or return (module, example input) from the factory."
        )
    return natural(wanted)
