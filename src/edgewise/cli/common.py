"""What every command shares: options, a progress bar on stderr, JSON on stdout."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from edgewise.errors import UsageError
from edgewise.progress import Progress
from edgewise.store import SCHEMA

Command = TypeVar("Command", bound=Callable[..., Any])

console = Console()
notes = Console(stderr=True)


def json_option(command: Command) -> Command:
    """`--json`: one object on stdout instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )


def seed_option(command: Command) -> Command:
    """`--seed`: the same seed gives the same result on the same machine."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        help="Seed of every draw.",
    )(command)


def root_option(command: Command) -> Command:
    """`--root`: where fetched data lie."""
    return click.option(
        "--root",
        type=click.Path(path_type=Path),
        default=None,
        help="Folder of fetched data [$EDGEWISE_DATA, else the user's cache].",
    )(command)


def out_option(help_text: str) -> Callable[[Command], Command]:
    """`-o`: where the result goes."""
    return click.option(
        "-o", "--out", type=click.Path(path_type=Path), required=True, help=help_text
    )


def record_option(command: Command) -> Command:
    """`-o` of commands whose record is all they leave."""
    return click.option(
        "-o", "--out", type=click.Path(path_type=Path), callback=_json_file,
        help="Store the record, a .json.",
    )(command)  # fmt: skip


def _json_file(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix != ".json":
        raise UsageError(f"the record is JSON: name it .json, not '{path.name}'.")
    return path


def emit(command: str, result: Any) -> None:
    """The one JSON object of `--json`."""
    print(json.dumps({"schema": SCHEMA, "command": command, "result": result}, allow_nan=False))


def parse_shape(text: str | None) -> tuple[int, int, int] | None:
    """`3,224,224` as channels, height, width; raises UsageError for anything else."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--input-shape is channels,height,width, as in 3,224,224, not '{text}'.")
    channels, height, width = (int(part) for part in parts)
    return channels, height, width


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar for every stage on stderr; silent where stderr is not a terminal."""
    tasks: dict[str, TaskID] = {}
    shown = notes.is_terminal and not os.environ.get("CI")
    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
        disable=not shown,
    ) as bars:

        def listen(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                for other in tasks.values():
                    bars.update(other, visible=False)
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield listen
