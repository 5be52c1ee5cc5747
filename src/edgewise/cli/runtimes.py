"""`--runtime`: what runs an artifact, where more than one can."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgewise.errors import UsageError
from edgewise.worker.runtimes import RUNTIMES, runtimes_of

Command = TypeVar("Command", bound=Callable[..., Any])


def runtime_option(command: Command) -> Command:
    """`--runtime`: by default what the name of the artifact says."""
    return click.option(
        "--runtime", type=click.Choice(tuple(RUNTIMES)), help="What runs it [by its suffix]."
    )(command)


def runtime_for(artifact: Path, asked: str | None) -> str:
    """What is to run an artifact; raises UsageError where that takes no such file."""
    known = runtimes_of(artifact.name)
    if asked is None:
        return known[0]
    if asked not in known:
        raise UsageError(f"{artifact} runs in {' or '.join(known)}, not in {asked}.")
    return asked
